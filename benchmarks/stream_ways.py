"""The ways of keeping points up to date that are compared: how each is started, and where its points are searched."""

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
import psutil
import psycopg

from benchmarks import ROOT
from benchmarks.servers import PEERS_PYTHON, JobError
from benchmarks.workload import DIMENSION, QDRANT_API_KEY, Workload
from code_patterns.embeddings.hashing import hash_text

END_SECONDS = 10.0
QUESTION = "def retry(request, attempts):"
TRIGGERS = """
SELECT tgname FROM pg_trigger
WHERE tgrelid = 'pattern_lineage_nodes'::regclass AND NOT tgisinternal AND NOT starts_with(tgname, 'zz_pattern_sync_')
"""


@dataclass(frozen=True)
class Way:
    """One way of keeping points up to date.

    :param name: short name
    :param title: name in the table
    :param python: the interpreter whose environment has it
    :param module: what that runs; it goes on until it is ended
    :param arguments: its arguments behind the workload and before the embedder
    :param in_postgres: its vectors are in PostgreSQL, not in Qdrant
    :param starts_empty: it makes its points itself, beginning with the rows that are there before it starts
    """

    name: str
    title: str
    python: Path
    module: str
    arguments: tuple[str, ...] = ()
    in_postgres: bool = False
    starts_empty: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether this project's sync makes its points."""
        return self.module == _OURS

    @contextmanager
    def running(self, workload: Workload, api: str, folder: Path) -> Iterator["Running"]:
        """Run it until the end of the block.

        :param api: ``hashing``, or ``ollama`` for the workload's embedding server
        :param folder: for what it keeps between two runs
        """
        command = [str(self.python), "-W", "ignore", "-m", self.module, workload.to_json(), *self.arguments, api]
        environment = {**os.environ, "BENCHMARK_FOLDER": str(folder)}
        with (
            tempfile.TemporaryFile("w+") as output,
            subprocess.Popen(  # noqa: S603 (our own command)
                command, cwd=ROOT, env=environment, stdout=output, stderr=output
            ) as process,
        ):
            running = Running(self.title, process)
            try:
                yield running
            except JobError:
                output.seek(0)
                print(output.read()[-4000:], file=sys.stderr)
                raise
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


@dataclass
class Running:
    """A way at work.

    :param title: its name, for messages
    :param process: its process
    """

    title: str
    process: subprocess.Popen[bytes] = field(repr=False)

    def check(self) -> None:
        """Check that it still runs.

        :raises JobError: it ended by itself
        """
        if self.process.poll() is not None:
            raise JobError(f"{self.title} ended by itself with status {self.process.returncode}")

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Halt the process for the block; it goes on where it was."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """Processor time that it has used, its child processes included."""
        own = psutil.Process(self.process.pid)
        times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
        return float(sum(time.user + time.system for time in times))


class Search(Protocol):
    """A search in the store of one way."""

    def found(self, ids: Sequence[str]) -> list[str]:
        """Search among these points; return those that the search found."""

    def count(self) -> int:
        """How many points there are."""


class QdrantSearch:
    """A search by a vector in Qdrant, on one connection. Its requests are cheap, so that asking disturbs little."""

    def __init__(self, workload: Workload) -> None:
        url = urllib.parse.urlsplit(workload.qdrant_url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(url.hostname or "", url.port or 6333, timeout=60)
        self._path = f"/collections/{workload.collection}/points"
        self._headers = {"Content-Type": "application/json"} | ({"api-key": QDRANT_API_KEY} if QDRANT_API_KEY else {})
        self._vector = hash_text(QUESTION, DIMENSION).tolist()

    def found(self, ids: Sequence[str]) -> list[str]:
        """Search among these points; return those that the search found."""
        body = {"query": self._vector, "filter": {"must": [{"has_id": ids}]}, "limit": len(ids)}
        answer = self._ask("query", body)
        return [point["id"] for point in answer["points"]] if answer else []

    def count(self) -> int:
        """How many points there are; 0 without a collection."""
        answer = self._ask("count", {"exact": True})
        return int(answer["count"]) if answer else 0

    def _ask(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response, content = self._send(what, body)
        except http.client.RemoteDisconnected:
            # Qdrant hangs up after five seconds without a request; the next request connects again.
            response, content = self._send(what, body)
        if response.status == http.client.NOT_FOUND:
            return {}
        if response.status != http.client.OK:
            raise JobError(f"the search in Qdrant was answered with {response.status}: {content[:200]!r}")
        return dict(orjson.loads(content)["result"])

    def _send(self, what: str, body: dict[str, Any]) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request("POST", f"{self._path}/{what}", orjson.dumps(body), self._headers)
        response = self._connection.getresponse()
        return response, response.read()


class PgvectorSearch:
    """A search by a vector in pgai's table."""

    def __init__(self, workload: Workload) -> None:
        self._connection = psycopg.connect(workload.dsn, autocommit=True)
        self._vector = str(hash_text(QUESTION, DIMENSION).tolist())

    def found(self, ids: Sequence[str]) -> list[str]:
        """Search among these points; return those that the search found."""
        query = "SELECT id::text FROM pattern_vectors WHERE id = ANY(%s::uuid[]) ORDER BY embedding <=> %s::vector"
        return self._rows(query, [list(ids), self._vector])

    def count(self) -> int:
        """How many points there are; 0 without a table."""
        return sum(self._rows("SELECT count(*) FROM pattern_vectors", []))

    def _rows(self, query: str, values: list[Any]) -> list[Any]:
        try:
            return [row[0] for row in self._connection.execute(query.encode(), values)]
        except psycopg.errors.UndefinedTable:
            return []


def search_of(way: Way, workload: Workload) -> Search:
    """Open a search in the store of a way."""
    return PgvectorSearch(workload) if way.in_postgres else QdrantSearch(workload)


def enable_triggers(workload: Workload, *, enabled: bool) -> None:
    """Enable or disable the triggers that a way has beside those of the migrations."""
    with psycopg.connect(workload.dsn, autocommit=True) as connection:
        for (name,) in connection.execute(TRIGGERS).fetchall():
            change = "ENABLE" if enabled else "DISABLE"
            connection.execute(f'ALTER TABLE pattern_lineage_nodes {change} TRIGGER "{name}"'.encode())


def _own_environment(name: str) -> Path:
    return ROOT / "benchmarks" / f".venv-{name}" / "bin" / "python"


_OURS, _PEERS = "benchmarks.stream_jobs", "benchmarks.peers"
WAYS = (
    Way("stream", "**the stream**", Path(sys.executable), _OURS, ("stream",)),
    Way("looped", "our incremental run in a loop", Path(sys.executable), _OURS, ("looped",)),
    Way("listen", "LISTEN/NOTIFY, a point for each notice", PEERS_PYTHON, f"{_PEERS}.listen_notify"),
    Way(
        "cocoindex",
        "CocoIndex 1.0.26 live, a pass each second",
        _own_environment("cocoindex"),
        f"{_PEERS}.cocoindex",
        ("live",),
        starts_empty=True,
    ),
    Way(
        "pgai",
        "pgai 0.12.1, its worker polling each second",
        _own_environment("pgai"),
        f"{_PEERS}.pgai",
        ("live",),
        in_postgres=True,
        starts_empty=True,
    ),
)
