"""The tools that make points of the same rows: how each is run, and what it has stored.

Each runs in a process of its own. This project's runs are those of its DAGs, without Airflow.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import psutil
import psycopg
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from benchmarks import ROOT
from benchmarks.cores import listening_process, postgres_process
from benchmarks.jobs import blocking_client
from benchmarks.peers.source import documents
from benchmarks.servers import Measurement
from benchmarks.workload import DIMENSION, Workload
from code_patterns.embeddings.hashing import hash_text

PATIENCE_SECONDS = 3600.0
PAGE = 1000
ALL = 10**9
NEAR = 1e-3
"""How far a stored component may be from the embedder's: Qdrant makes vectors of unit length again."""
EDITED = "edited behind its back"
STORED_BY_PGAI = "SELECT id::text, chunk, embedding::text FROM pattern_vectors"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    :param status: exit status, or ``None`` if it had to be killed because it did not end
    :param measurement: what it took; ``None`` if it failed before the end of its work
    :param servers_seconds: processor time of PostgreSQL and Qdrant meanwhile
    :param output: the last lines that it printed
    """

    status: int | None
    measurement: Measurement | None
    servers_seconds: float
    output: str


@dataclass(frozen=True)
class Contender:
    """One tool in one configuration.

    :param name: short name
    :param title: name in the table
    :param python: the interpreter whose environment has it
    :param module: what that runs
    :param first: arguments of the run that makes all points
    :param again: arguments of the run after a change
    :param checks: by name, the runs that could notice what happened to the points, in their order
    :param in_postgres: its vectors are in PostgreSQL, not in Qdrant
    :param live: its name among the ways of the stream's benchmark, if it is measured there
    """

    name: str
    title: str
    python: Path
    module: str
    first: Sequence[str]
    again: Sequence[str]
    checks: Mapping[str, Sequence[str]]
    in_postgres: bool = False
    live: str = ""

    @contextmanager
    def started(self, workload: Workload, folder: Path, arguments: Sequence[str]) -> Iterator["Started"]:
        """Run it beside the block; if it still runs at the end of the block, it is killed.

        :param folder: for what it keeps between two runs
        """
        command = [str(self.python), "-W", "ignore", "-m", self.module, workload.to_json(), *arguments]
        environment = {**os.environ, "BENCHMARK_FOLDER": str(folder)}
        with (
            tempfile.TemporaryFile("w+") as printed,
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(  # noqa: S603 (our own command)
                command, cwd=ROOT, env=environment, stdout=printed, stderr=errors
            ) as process,
        ):
            run = Started(workload, process, printed, errors)
            try:
                yield run
            finally:
                run.kill()

    def run(
        self, workload: Workload, folder: Path, arguments: Sequence[str], seconds: float = PATIENCE_SECONDS
    ) -> Outcome:
        """Run it until it ends.

        :param seconds: how long it may take
        """
        with self.started(workload, folder, arguments) as run:
            return run.ended(seconds)

    def stored(self, workload: Workload) -> dict[str, tuple[str, np.ndarray]]:
        """The text and the vector of each point, by id; empty without a collection."""
        return dict(_in_postgres(workload) if self.in_postgres else _in_qdrant(workload))

    def tamper(self, workload: Workload) -> None:
        """Delete one point and edit the text of another."""
        deleted, edited = sorted(self.stored(workload))[:2]
        if self.in_postgres:
            with psycopg.connect(workload.dsn, autocommit=True) as connection:
                connection.execute("DELETE FROM pattern_vectors WHERE id = %s", [deleted])
                connection.execute("UPDATE pattern_vectors SET chunk = %s WHERE id = %s", [EDITED, edited])
            return
        with closing(blocking_client(workload)) as client:
            client.delete(workload.collection, [deleted], wait=True)
            client.set_payload(workload.collection, {"text": EDITED}, [edited], wait=True)

    def drop(self, workload: Workload) -> None:
        """Drop the collection, or the table of the vectors."""
        if self.in_postgres:
            with psycopg.connect(workload.dsn, autocommit=True) as connection:
                connection.execute("DROP TABLE pattern_vectors CASCADE")
            return
        with closing(blocking_client(workload)) as client:
            for item in client.get_collections().collections:
                if item.name.startswith(workload.collection):
                    client.delete_collection(item.name)


@dataclass
class Started:
    """A run in its process."""

    workload: Workload
    process: subprocess.Popen[bytes]
    printed: IO[str]
    errors: IO[str]

    def __post_init__(self) -> None:
        self._before = servers_seconds(self.workload)

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End its processes with SIGKILL."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            for each in (*own.children(recursive=True), own):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        self.process.wait()

    def ended(self, seconds: float = PATIENCE_SECONDS) -> Outcome:
        """Wait for its end.

        :param seconds: after that time it is killed
        """
        try:
            status: int | None = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
            self.kill()
        spent = servers_seconds(self.workload) - self._before
        for file in (self.printed, self.errors):
            file.seek(0)
        lines = self.printed.read().splitlines()
        measurement = None
        if lines and lines[-1].startswith("{"):
            measurement = Measurement(**json.loads(lines[-1]))
        return Outcome(status, measurement, spent, self.errors.read()[-2000:])


def servers_seconds(workload: Workload) -> float:
    """Processor time that PostgreSQL and Qdrant have used until now, sessions that have ended included."""
    postgres = postgres_process(workload.dsn)
    spent = 0.0
    for process in (postgres, *postgres.children(recursive=True), listening_process(workload.qdrant_url)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system
            if process == postgres:
                spent += times.children_user + times.children_system
    return spent


@dataclass(frozen=True)
class Differences:
    """What is wrong with the points of a table.

    :param rows: rows that should have a point
    :param missing: rows without one
    :param left: points without a row
    :param old: points with another text than the row's, or with another vector than the text's
    """

    rows: int
    missing: int
    left: int
    old: int

    @classmethod
    def between(cls, contender: Contender, workload: Workload) -> "Differences":
        """Compare the rows of the table with the points of one tool."""
        wanted = {str(document.id): document.text for document in documents(workload.dsn, ALL)}
        return cls.of(wanted, contender.stored(workload))

    @classmethod
    def of(cls, wanted: Mapping[str, str], stored: Mapping[str, tuple[str, np.ndarray]]) -> "Differences":
        """Compare texts of rows with texts and vectors of points, both by id."""
        both = wanted.keys() & stored.keys()
        old = sum(not _is(wanted[node_id], *stored[node_id]) for node_id in both)
        return cls(len(wanted), len(wanted.keys() - both), len(stored.keys() - both), old)

    @property
    def wrong(self) -> int:
        """How many of any kind."""
        return self.missing + self.left + self.old

    def __str__(self) -> str:
        named = {"missing": self.missing, "left over": self.left, "old": self.old}
        found = ", ".join(f"{count:,} {name}" for name, count in named.items() if count)
        return found or "nothing wrong"


def _is(wanted: str, text: str, vector: np.ndarray) -> bool:
    return text == wanted and np.allclose(vector, hash_text(wanted, DIMENSION), atol=NEAR)


def _in_postgres(workload: Workload) -> Iterator[tuple[str, tuple[str, np.ndarray]]]:
    with psycopg.connect(workload.dsn) as connection, suppress(psycopg.errors.UndefinedTable):
        for node_id, text, vector in connection.execute(STORED_BY_PGAI):
            yield node_id, (text, np.array(orjson.loads(vector), dtype=np.float32))


def _in_qdrant(workload: Workload) -> Iterator[tuple[str, tuple[str, np.ndarray]]]:
    with closing(blocking_client(workload)) as client:
        offset: Any = None
        while True:
            try:
                points, offset = _page(client, workload.collection, offset)
            except UnexpectedResponse as error:
                if error.status_code == 404:
                    return
                raise
            for point in points:
                # A point with words has its plain vector under the empty name.
                vector: Any = point.vector[""] if isinstance(point.vector, dict) else point.vector
                text = (point.payload or {}).get("text", "")
                yield str(point.id), (text, np.array(vector, dtype=np.float32))
            if offset is None:
                return


def _page(client: QdrantClient, collection: str, offset: Any) -> tuple[list[models.Record], Any]:
    return client.scroll(collection, limit=PAGE, offset=offset, with_payload=["text"], with_vectors=True)


def _peer(peer: str, title: str, way: str, live: str = "") -> Contender:
    arguments = (way, "ollama")
    return Contender(
        f"{peer} {way}",
        f"{title}, {way}",
        ROOT / "benchmarks" / f".venv-{peer}" / "bin" / "python",
        f"benchmarks.peers.{peer}",
        first=arguments,
        again=arguments,
        checks={"run": arguments},
        in_postgres=peer == "pgai",
        live=live,
    )


_HOURLY, _NIGHTLY = ("sync", "incremental", "ollama"), ("sync", "full", "ollama")
OURS = Contender(
    "ours",
    "**this project**",
    Path(sys.executable),
    "benchmarks.jobs",
    first=_NIGHTLY,
    again=_HOURLY,
    checks={"hourly run": _HOURLY, "full sync": _NIGHTLY, "verification that heals": ("heal", "ollama")},
    live="stream",
)
CONTENDERS = (
    OURS,
    _peer("cocoindex", "CocoIndex 1.0.26", "documented"),
    _peer("cocoindex", "CocoIndex 1.0.26", "tuned", "cocoindex"),
    _peer("pgai", "pgai 0.12.1", "documented"),
    _peer("pgai", "pgai 0.12.1", "tuned", "pgai"),
)
