"""Whatever is wrong: the task fails in one message with place and remedy, at once where a person must act."""

import http.server
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import config_of
from tests.dags.conftest import Outcome
from tests.support.connections import set_connection, set_postgres
from tests.support.leaks import secret
from tests.support.two_sides import TwoSides, rows

SECRET = secret("password")


@dataclass
class Case:
    """A way to break the installation, and the words the message must hold."""

    name: str
    breaks: Callable[["Workbench"], None]
    words: tuple[str, ...]
    outage: bool = False


@dataclass
class Workbench:
    """What a case may break."""

    sides: TwoSides
    monkeypatch: pytest.MonkeyPatch
    empty_database: str

    def postgres(self, **changes: Any) -> None:
        set_postgres(self.monkeypatch, self.sides.postgres, **changes)

    def embeddings(self, **fields: Any) -> None:
        set_connection(self.monkeypatch, "patterns_embeddings", conn_type="embedding", **fields)

    def variable(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(f"AIRFLOW_VAR_{name.upper()}", value)

    def without(self, conn_id: str) -> None:
        self.monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wrong_dimension(bench: Workbench) -> None:
    bench.sides.sync("full")
    name = bench.sides.collection

    async def make_real(client: Any) -> None:
        from qdrant_client import models

        vectors = models.VectorParams(size=7, distance=models.Distance.COSINE)
        await client.create_collection(f"{name}_real", vectors_config=vectors)

    bench.sides.with_client(make_real)
    bench.variable("patterns_collection", f"{name}_real")


def assert_short_lines(log: str, message: str) -> None:
    """The message stands in the log in lines that fit its page, too."""
    first = next(line for line in log.splitlines() if "What is wrong: " in line)
    first = first[first.index("What is wrong: ") :].strip()
    assert len(first) <= 100
    assert first.split("What is wrong: ", 1)[1][:40] in message
    assert "Try 1 " in log


CASES = [
    Case(
        "host",
        lambda b: b.postgres(host="no-such-host.invalid"),
        ("'patterns_postgres'", "no-such-host.invalid", "Tried once at the start"),
        outage=True,
    ),
    Case(
        "port",
        lambda b: b.postgres(host="127.0.0.1", port=closed_port()),
        ("'patterns_postgres'", "127.0.0.1", "Tried once at the start"),
        outage=True,
    ),
    Case("database", lambda b: b.postgres(schema="nowhere"), ("'patterns_postgres'", '"nowhere" does not exist')),
    Case(
        "no database", lambda b: b.postgres(schema=None), ("'patterns_postgres' has no database", "nothing is guessed")
    ),
    Case("no host", lambda b: b.postgres(host=None), ("'patterns_postgres' has no host",)),
    Case(
        "no connection",
        lambda b: b.without("patterns_postgres"),
        ("'patterns_postgres' is not defined", "airflow connections add"),
    ),
    Case(
        "not migrated",
        lambda b: b.postgres(schema=config_of(b.empty_database).database),
        ("lacks pattern_lineage_nodes", "Run schema_migration first"),
    ),
    Case(
        "qdrant down",
        lambda b: set_connection(
            b.monkeypatch, "patterns_qdrant", conn_type="qdrant", host="127.0.0.1", port=closed_port()
        ),
        ("'patterns_qdrant'", "cannot connect", "Check host and port", "Tried once at the start", "Try 1 of 1 failed"),
        outage=True,
    ),
    Case("no qdrant", lambda b: b.without("patterns_qdrant"), ("'patterns_qdrant' is not defined",)),
    Case(
        "qdrant nowhere",
        lambda b: set_connection(b.monkeypatch, "patterns_qdrant", conn_type="qdrant"),
        ("'patterns_qdrant'", "neither"),
    ),
    Case("dimension", wrong_dimension, ("vectors of 7 dimensions", "makes 64", "Nothing was changed")),
    Case(
        "embedding server down",
        lambda b: b.embeddings(
            host="127.0.0.1", port=closed_port(), extra={"api": "ollama", "model": "nomic-embed-text"}
        ),
        ("'patterns_embeddings'", "127.0.0.1", "Connection refused", "Start it"),
        outage=True,
    ),
    Case(
        "embedding proxy",
        lambda b: b.embeddings(
            host="127.0.0.1",
            port=closed_port(),
            extra={"api": "ollama", "model": "m", "proxy": f"socks4://me:{SECRET}@proxy:1080"},
        ),
        ("'patterns_embeddings'", "proxy", "http://host:port"),
    ),
    Case("embedding api", lambda b: b.embeddings(extra={"api": "magic"}), ("'patterns_embeddings'", "magic")),
    Case("no embeddings", lambda b: b.without("patterns_embeddings"), ("'patterns_embeddings' is not defined",)),
    *[
        Case(
            f"batch {value}",
            lambda b, value=value: b.variable("pattern_sync_batch_size", value),
            ("'pattern_sync_batch_size'", repr(value)),
        )
        for value in ("0", "many", "nan")
    ],
    Case("delay", lambda b: b.variable("pattern_sync_delay_seconds", "-1"), ("'pattern_sync_delay_seconds'", "'-1'")),
    Case(
        "fraction",
        lambda b: b.variable("pattern_sync_max_delete_fraction", "20"),
        ("'pattern_sync_max_delete_fraction'", "'20'"),
    ),
    Case(
        "collection",
        lambda b: b.variable("patterns_collection", "execution_patterns"),
        ("'patterns_collection'", "never writes"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_clear_message(
    case: Case,
    connected: TwoSides,
    empty_database: str,
    monkeypatch: pytest.MonkeyPatch,
    run_dag: Callable[..., Outcome],
) -> None:
    connected.insert(rows(3))
    case.breaks(Workbench(connected, monkeypatch, empty_database))
    before = connected.execute("SELECT count(*) FROM pattern_sync_runs")
    outcome = run_dag("pattern_sync_full")
    assert outcome.state == "failed"
    message = outcome.outage if case.outage else outcome.message
    for word in case.words:
        assert word in message
    assert "\n" not in message
    assert len(message) < 700
    assert SECRET not in outcome.log
    assert_short_lines(outcome.log, message)
    assert connected.execute("SELECT count(*) FROM pattern_sync_runs") == before
    assert connected.execute("SELECT count(*) FROM pattern_sync_dead_letters") == [(0,)]


def test_wrong_password(
    connected: TwoSides, postgres_server: str, monkeypatch: pytest.MonkeyPatch, run_dag: Callable[..., Outcome]
) -> None:
    role = f"{connected.postgres.database}_reader"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
        if not os.environ.get("PATTERNS_TEST_POSTGRES_DSN"):
            # The embedded server trusts everybody; this role is to be asked for its password.
            path = Path(admin.execute("SHOW hba_file").fetchone()[0])
            path.write_text(f"local all {role} scram-sha-256\n" + path.read_text())
            admin.execute("SELECT pg_reload_conf()")
    try:
        Workbench(connected, monkeypatch, "").postgres(login=role, password=SECRET)
        outcome = run_dag("pattern_sync_full")
    finally:
        with psycopg.connect(postgres_server, autocommit=True) as admin:
            admin.execute(f"DROP ROLE {role}")
    assert outcome.state == "failed"
    assert "password authentication failed" in outcome.message
    assert "'patterns_postgres'" in outcome.message
    assert SECRET not in outcome.log


class Forbidding(http.server.BaseHTTPRequestHandler):
    """A Qdrant whose key may read and not write, as the server's own answers look."""

    def do_GET(self) -> None:
        collections = self.path.startswith("/collections")
        result = {"aliases": []} if self.path == "/aliases" else {"collections": []} if collections else {}
        about = {"title": "qdrant - vector search engine", "version": "1.18.3"}
        self._answer(200, about if self.path == "/" else {"result": result, "status": "ok", "time": 0.0})

    def do_PUT(self) -> None:
        self._answer(403, {"status": {"error": "Forbidden: Global manage access is required"}, "time": 0.0})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def forbidding_qdrant() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forbidding)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def test_missing_permission_on_the_collection(
    connected: TwoSides, forbidding_qdrant: int, monkeypatch: pytest.MonkeyPatch, run_dag: Callable[..., Outcome]
) -> None:
    server = {"conn_type": "qdrant", "host": "127.0.0.1", "port": forbidding_qdrant, "password": SECRET}
    set_connection(monkeypatch, "patterns_qdrant", **server)
    assert "set the extra 'https' to false" in run_dag("pattern_sync_full").message
    set_connection(monkeypatch, "patterns_qdrant", **server, extra={"https": False})
    outcome = run_dag("pattern_sync_full")
    assert outcome.state == "failed"
    for word in ("'patterns_qdrant'", "creating the collection", "403", "right to do this"):
        assert word in outcome.message
    assert SECRET not in outcome.log


@pytest.mark.parametrize(
    ("dag_id", "task_id"),
    [
        ("schema_migration", "plan"),
        ("pattern_sync_full", "partition"),
        ("pattern_sync_incremental", "sync"),
        ("pattern_verify", "verify"),
        ("quality_backfill", "score"),
        ("pattern_analytics", "compute"),
    ],
)
def test_a_misspelt_param_does_nothing(
    connected: TwoSides, run_dag: Callable[..., Outcome], dag_id: str, task_id: str
) -> None:
    connected.insert(rows(2))
    outcome = run_dag(dag_id, task_id, dryrun=True)
    assert outcome.state == "failed"
    assert "The run was started with the unknown Param 'dryrun'. Nothing was done." in outcome.message
    assert connected.execute("SELECT count(*) FROM pattern_sync_runs") == [(0,)]
