"""A full sync in shards: its result is that of one task, whatever happens to the shards."""

import asyncio
import multiprocessing
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import models

from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.postgres_psycopg import connect
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.diff import IdRange
from code_patterns.sync.pattern import SYNC_TIMESTAMP
from code_patterns.sync.runs.shard import ShardRun
from code_patterns.sync.sync_result import SyncResult
from tests.conftest import config_of
from tests.integration.sync.test_model_change import names_behind
from tests.support.faulty_qdrant import QdrantServer
from tests.support.two_sides import TwoSides, rows

FORK = multiprocessing.get_context("fork")
COUNTS = ("new", "changed", "words_only", "payload_only", "deleted", "parked")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the lock often."""
    monkeypatch.setattr("code_patterns.servers.locks.POLL_SECONDS", 0.05)


@pytest.fixture
def sides(migrated_database: str, qdrant_server: QdrantServer) -> Iterator[TwoSides]:
    """A migrated, empty database and a collection in that Qdrant."""
    qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    sides = TwoSides(config_of(migrated_database), qdrant, f"test_{uuid.uuid4().hex[:12]}", settings={"batch_size": 20})
    yield sides
    qdrant_server.before = None

    async def drop(client: Any) -> None:
        for item in (await client.get_collections()).collections:
            if item.name.startswith(sides.collection):
                await client.delete_collection(item.name)

    sides.with_client(drop)


def sync_in_shards(sides: TwoSides, shards: int, meanwhile: Callable[[], object] = lambda: None) -> list[SyncResult]:
    """Plan, let something happen, work the shards off in any order, and finish with the full sync."""
    cut = sides.partition(shards=shards)
    assert len(cut.ranges) == shards
    meanwhile()
    ranges = random.Random(5).sample(cut.ranges, shards)
    results = [sides.sync("full", id_range=part, settled=False) for part in ranges]
    return [*results, sides.sync("full", points_before=cut.points, allow_mass_delete=True)]


def content(sides: TwoSides) -> dict[Any, dict[str, Any]]:
    """All points without the time of their last write."""
    return {
        key: {name: value for name, value in point.items() if name != SYNC_TIMESTAMP}
        for key, point in sides.points().items()
    }


def recorded(sides: TwoSides) -> list[tuple[Any, ...]]:
    return sides.execute("SELECT node_id, stage, error FROM pattern_sync_dead_letters ORDER BY node_id")


def uneven(patterns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A third of the ids in one tiny corner, as where users count them themselves, the others anywhere."""
    for number, row in enumerate(patterns[::3]):
        row["id"] = uuid.UUID(int=(0xABC << 116) + number)
    return patterns


def disorder(sides: TwoSides, collections: list[TwoSides], patterns: list[dict[str, Any]]) -> None:
    """Something of every kind: new, changed, payload only, orphans, foreign points, unreadable rows, other types."""
    ids = [row["id"] for row in patterns]
    sides.insert(patterns[:150])
    for one in collections:
        one.sync("full")
    sides.insert(patterns[150:])
    sides.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = jsonb_build_object('code', id::text) WHERE id = ANY(%s)",
        [ids[:30]],
    )
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"k\": 1}' WHERE id = ANY(%s)", [ids[30:60]])
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_type = 'config' WHERE id = ANY(%s)", [ids[60:70]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [ids[70:80]])
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = '\"no JSON\"' WHERE id = ANY(%s)", [ids[80:85]])
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = '[]' WHERE id = ANY(%s)", [ids[290:295]])
    foreign = [models.PointStruct(id=n, vector=[1.0] * 64, payload={}) for n in (3, uuid.UUID(int=5).hex, 2**63)]
    for one in collections:
        sides.with_client(lambda client, one=one: client.upsert(one.collection, foreign, wait=True))


def test_the_total_is_that_of_one_task(sides: TwoSides) -> None:
    patterns = uneven(rows(300))
    late = rows(10, start=400)
    whole = replace(sides, collection=f"{sides.collection}_whole")
    disorder(sides, [sides, whole], patterns)
    assert content(sides) == content(whole)
    results = sync_in_shards(sides, 4, meanwhile=lambda: sides.insert(late))
    after, failures = content(sides), recorded(sides)
    sides.execute("DELETE FROM pattern_sync_dead_letters")
    alone = whole.sync("full", allow_mass_delete=True)

    assert after == content(whole)
    assert failures == recorded(sides)
    assert len(failures) == 10
    *shards, last = results
    total = {name: sum(result.counts[name] for result in shards) for name in COUNTS}
    assert total == {**{name: alone.counts[name] for name in COUNTS}, "deleted": 0}
    assert {name: last.counts[name] for name in COUNTS} == {
        "new": 0,
        "changed": 0,
        "words_only": 0,
        "payload_only": 0,
        "deleted": alone.counts["deleted"],
        "parked": 10,
    }
    assert (last.parity, alone.parity) == ("proven", "proven")
    assert {result.kind for result in shards} == {"shard"}
    assert [result.watermark_xid for result in shards] == [None] * 4
    history = sides.execute(
        "SELECT sum(created), sum(changed), sum(payload_only), count(DISTINCT first_id), count(DISTINCT last_id), "
        "bool_and(status = 'succeeded') FROM pattern_sync_runs WHERE kind = 'shard'"
    )
    assert history == [(total["new"], total["changed"], total["payload_only"], 4, 4, True)]


def test_shares_are_about_equal_however_ids_are_spread(sides: TwoSides) -> None:
    sides.insert(uneven(rows(400)))
    cut = sides.partition(shards=4)
    counts = [
        sides.execute("SELECT count(*) FROM pattern_lineage_nodes WHERE id BETWEEN %s AND %s", [part.first, part.last])
        for part in cut.ranges
    ]
    assert [count for [(count,)] in counts] == [100] * 4


def test_only_enough_work_is_cut(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("code_patterns.sync.partition.SHARD_WRITES", 50)
    assert sides.partition().ranges == ()
    sides.insert(rows(99))
    assert sides.partition().ranges == ()
    sides.insert(rows(1, start=100))
    assert (len(sides.partition().ranges), sides.partition().points) == (2, 0)
    sides.sync("full")
    assert sides.partition().ranges == ()
    sides.insert(rows(1000, start=200))
    cut = sides.partition()
    assert (len(cut.ranges), cut.points) == (4, 100)
    assert (
        sides.partition(shards=1).ranges
        == sides.partition(dry_run=True).ranges
        == sides.partition(limit=5).ranges
        == ()
    )
    assert sides.partition(rollback=True).ranges == ()
    sides.sync("full")
    # As many points as before, and every one of them to be written again.
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"k\": 2}'")
    assert len(sides.partition().ranges) == 4


def test_the_embedded_storage_is_never_cut(sides: TwoSides, tmp_path: Any) -> None:
    sides.insert(rows(50))
    embedded = replace(sides, qdrant=QdrantConfig(conn_id="patterns_qdrant", path=str(tmp_path / "qdrant")))
    assert embedded.partition(shards=3).ranges == ()


def test_another_model_is_built_in_shards_beside_the_old_one(sides: TwoSides) -> None:
    sides.insert(rows(80))
    sides.sync("full")
    old, _ = names_behind(sides)
    other = sides.with_embedding(model="hashing-v2", dimension=96)
    cut = other.partition(shards=3)
    [new] = names_behind(sides)[1] - {old}
    assert (names_behind(sides)[0], other.points(new), cut.points) == (old, {}, 0)
    for part in cut.ranges:
        other.sync("full", id_range=part)
        assert names_behind(sides)[0] == old, "a half-built collection was shown to readers"
    sides.insert(rows(5, start=100))
    assert other.sync().counts["new"] == 5, "the hourly run follows the collection that readers see"
    result = other.sync("full", points_before=cut.points)
    assert (result.counts["new"], result.counts["unchanged"], result.parity) == (5, 80, "proven")
    assert names_behind(sides)[0] == new
    other.assert_equal_sides()


def test_what_shards_add_does_not_hide_a_mass_delete(sides: TwoSides) -> None:
    sides.insert(rows(20))
    sides.sync("full")
    sides.execute("DELETE FROM pattern_lineage_nodes")
    sides.insert(rows(200, start=50))
    cut = sides.partition(shards=2)
    for part in cut.ranges:
        sides.sync("full", id_range=part)
    with pytest.raises(ConfigurationError, match=r"Refusing to delete 20 of 220 points.* of the 20 points that there"):
        sides.sync("full", points_before=cut.points)
    assert len(sides.points()) == 220


def test_rows_deleted_while_shards_fill_a_new_collection_are_no_mass_delete(sides: TwoSides) -> None:
    patterns = rows(100)
    sides.insert(patterns)
    cut = sides.partition(shards=2)
    assert cut.points == 0
    for part in cut.ranges:
        sides.sync("full", id_range=part)
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [[row["id"] for row in patterns[:5]]])
    result = sides.sync("full", points_before=cut.points)
    assert (result.counts["deleted"], result.parity) == (5, "proven")
    sides.assert_equal_sides()


def test_a_range_whose_rows_are_gone_has_nothing_to_do(sides: TwoSides) -> None:
    sides.insert(rows(60))
    one, other = sides.partition(shards=2).ranges
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id <= %s", [one.last])
    assert sides.sync("full", id_range=one).counts["examined"] == 0
    assert sides.sync("full", id_range=other).counts["new"] == 30
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


def started(work: Callable[[], Any]) -> Any:
    """Start work in a forked process of its own."""

    def run() -> None:
        work()
        os._exit(0)

    process = FORK.Process(target=run)
    process.start()
    return process


def test_two_processes_share_the_work(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    sides.insert(rows(300))
    cut = sides.partition(shards=2)
    both = threading.Event()

    def hold(operation: str, _: int) -> None:
        deadline = time.monotonic() + 60
        while operation == "upsert" and not both.is_set():
            assert time.monotonic() < deadline, "the shards do not run side by side"
            if sides.execute("SELECT count(*) FROM pattern_sync_runs WHERE status = 'running'") == [(2,)]:
                both.set()

    qdrant_server.before = hold
    processes = [started(lambda part=part: sides.sync("full", id_range=part, settled=False)) for part in cut.ranges]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    overlaps = sides.execute(
        "SELECT count(*) FROM pattern_sync_runs AS one JOIN pattern_sync_runs AS other "
        "ON one.first_id < other.first_id AND one.started_at < other.finished_at AND other.started_at < one.finished_at"
    )
    assert overlaps == [(1,)]
    result = sides.sync("full", points_before=cut.points)
    assert (result.counts["unchanged"], result.counts["embedded_texts"], result.parity) == (300, 0, "proven")
    sides.assert_equal_sides()


def test_a_killed_shard_is_retried_alone(sides: TwoSides) -> None:
    sides.insert(rows(300))
    cut = sides.partition(shards=3)
    first, *others = cut.ranges
    process = started(lambda: sides.sync("full", id_range=first, batch_size=4, delay_seconds=0.3, settled=False))
    while len(sides.points()) < 20:
        assert process.is_alive()
    # It holds its place in the middle, however slow the others are.
    os.kill(process.pid, signal.SIGSTOP)
    for part in others:
        sides.sync("full", id_range=part, settled=False)
    # Shards of other ranges leave a running one alone in the history.
    assert dict(sides.execute("SELECT status, count(*) FROM pattern_sync_runs GROUP BY status")) == {
        "running": 1,
        "succeeded": 2,
    }
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    retried = sides.sync("full", id_range=first)
    assert 0 < retried.counts["new"] < 100
    assert 20 <= retried.counts["unchanged"] < 100
    assert sides.execute(
        "SELECT status, count(*) FROM pattern_sync_runs WHERE first_id = %s GROUP BY status ORDER BY status",
        [first.first],
    ) == [("abandoned", 1), ("succeeded", 1)]
    assert sides.sync("full").counts["unchanged"] == 300
    sides.assert_equal_sides()


def test_a_shard_that_is_lost_is_made_good_by_the_full_sync(sides: TwoSides) -> None:
    sides.insert(rows(120))
    cut = sides.partition(shards=3)
    sides.sync("full", id_range=cut.ranges[0])
    result = sides.sync("full", points_before=cut.points)
    assert (result.counts["unchanged"], result.counts["new"], result.parity) == (40, 80, "proven")
    sides.assert_equal_sides()


class Held:
    """A run that stops in the middle, before its third write, until it is told to go on."""

    def __init__(self, server: QdrantServer, threads: ThreadPoolExecutor, run: Callable[[], SyncResult]) -> None:
        self._reached, self._go_on = threading.Event(), threading.Event()
        seen = server.requests["upsert"]

        def hold(operation: str, count: int) -> None:
            if operation == "upsert" and count == seen + 2:
                self._reached.set()
                assert self._go_on.wait(120)

        server.before = hold
        self.future = threads.submit(run)
        assert self._reached.wait(60)

    def go_on(self) -> SyncResult:
        self._go_on.set()
        return self.future.result(120)


def waits(sides: TwoSides) -> int:
    """How many runs are waiting for a lock."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        [(count,)] = sides.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' "
            "AND query LIKE '%pg_try_advisory_lock%'"
        )
        if count:
            return int(count)
        # The runs are threads of this process, and need their turn.
        time.sleep(0.05)
    return 0


@pytest.mark.parametrize("mode", ["incremental", "full", "verify"])
def test_other_runs_wait_for_a_running_shard(sides: TwoSides, qdrant_server: QdrantServer, mode: str) -> None:
    sides.insert(rows(20))
    sides.sync("full")
    sides.insert(rows(200, start=50))
    part = sides.partition(shards=2).ranges[0]
    with ThreadPoolExecutor() as threads:
        shard = Held(qdrant_server, threads, lambda: sides.sync("full", id_range=part, settled=False))
        other = threads.submit(sides.sync, mode, settled=False)
        assert waits(sides) == 1
        assert not other.done()
        assert shard.go_on().counts["parked"] == 0
        assert other.result(60).counts["parked"] == 0
    assert sides.execute("SELECT status FROM pattern_sync_runs ORDER BY started_at") == [("succeeded",)] * 3
    sides.sync("full")
    sides.assert_equal_sides()


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_shard_waits_for_another_run(sides: TwoSides, qdrant_server: QdrantServer, mode: str) -> None:
    sides.insert(rows(20))
    sides.sync("full")
    sides.insert(rows(200, start=50))
    part = sides.partition(shards=2).ranges[0]
    with ThreadPoolExecutor() as threads:
        other = Held(qdrant_server, threads, lambda: sides.sync(mode, settled=False))
        shard = threads.submit(sides.sync, "full", id_range=part, settled=False)
        assert waits(sides) == 1
        assert not shard.done()
        assert other.go_on().counts["new"] == 200
        assert shard.result(60).counts["new"] == 0
    sides.assert_equal_sides()


def test_a_second_try_of_a_shard_waits_for_the_first(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    sides.insert(rows(200))
    one, other = sides.partition(shards=2).ranges
    with ThreadPoolExecutor() as threads:
        first = Held(qdrant_server, threads, lambda: sides.sync("full", id_range=one, settled=False))
        again = threads.submit(sides.sync, "full", id_range=one, settled=False)
        assert waits(sides) == 1
        assert sides.sync("full", id_range=other, settled=False).counts["new"] == 100, "the other range is free"
        assert not again.done()
        assert first.go_on().counts["new"] == 100
        assert again.result(60).counts["unchanged"] == 100


def test_a_shard_whose_session_is_ended_writes_no_more(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    sides.insert(rows(500))
    part = sides.partition(shards=2).ranges[0]
    with ThreadPoolExecutor() as threads:
        shard = Held(qdrant_server, threads, lambda: sides.sync("full", id_range=part, settled=False))
        ended = sides.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert ended == [(True,)]
        with pytest.raises(OutageError, match=r"'patterns_postgres'.*went away during the run"):
            shard.go_on()
    assert len(sides.points()) < 250
    assert sides.sync("full", id_range=part).counts["parked"] == 0
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.parametrize("lost", ["shard", "sync"])
def test_a_shard_checks_both_of_its_locks(sides: TwoSides, lost: str) -> None:
    part = IdRange(uuid.UUID(int=7), uuid.UUID(int=9))
    keys = {"shard": f"any {part.first} {part.last}", "sync": "any"}
    function = {"shard": "pg_advisory_unlock", "sync": "pg_advisory_unlock_shared"}[lost]

    async def lose() -> None:
        connection = await connect(sides.as_sync, autocommit=True)
        async with connection:
            session = LockedSession(sides.as_sync, connection)
            await session.take(*ShardRun(part).locks("any"))
            await session.assert_held()
            statement = f"SELECT {function}(hashtext('code_patterns {lost}'), hashtext('{keys[lost]}'))"
            assert await (await connection.execute(statement)).fetchall() == [(True,)]
            await session.assert_held()

    with pytest.raises(OutageError, match="exchanged for another one"):
        asyncio.run(lose())


def test_shards_that_park_rows_at_once_keep_each_others(sides: TwoSides) -> None:
    patterns = rows(200)
    for row in patterns[::5]:
        row["pattern_data"] = '"unreadable"'
    sides.insert(patterns)
    ranges = sides.partition(shards=4).ranges

    def shard(part: IdRange) -> SyncResult:
        return sides.sync("full", id_range=part, batch_size=3, settled=False)

    with ThreadPoolExecutor() as threads:
        results = list(threads.map(shard, ranges))
    assert sum(result.counts["parked"] for result in results) == 40
    bad = {row["id"] for row in patterns[::5]}
    assert {node_id for node_id, _, _ in recorded(sides)} == bad
    mended = sorted(bad)[:20]
    sides.execute('UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "x"}\' WHERE id = ANY(%s)', [mended])
    with ThreadPoolExecutor() as threads:
        list(threads.map(shard, ranges))
    assert {node_id for node_id, _, _ in recorded(sides)} == bad - set(mended)
    assert sides.sync("full").dead_letters == 20
