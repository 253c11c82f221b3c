"""Changes that no stream takes are noticed: again and again, but never twice for the same start."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sync import unattended as module
from code_patterns.sync.sync_target import WITHOUT_NAME
from code_patterns.sync.unattended import unattended
from tests.support.running_stream import eventually, running_stream
from tests.support.two_qdrants import namesakes
from tests.support.two_sides import INSERT, TwoSides, rows

SECRET = "a password that nobody sees"


class Watch:
    """Counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def at_least(self, count: int) -> None:
        async with asyncio.timeout(30):
            while self.calls < count:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(sides: TwoSides, config: PostgresConfig | None = None) -> AsyncIterator[Watch]:
    """Count the calls as long as the block runs."""
    watch = Watch()

    async def read() -> tuple[PostgresConfig, str]:
        return config or sides.as_sync, sides.collection

    async def count() -> None:
        async for _ in unattended(read, sides.settings.get("target", WITHOUT_NAME).name):
            watch.calls += 1

    task = asyncio.create_task(count())
    try:
        yield watch
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASK_SECONDS", 0.02)
    monkeypatch.setattr(module, "ASK_ATTENDED_SECONDS", 0.02)
    monkeypatch.setattr(module, "SHORTEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(module, "ANSWERED_PAUSE_SECONDS", 0.1)


@pytest.fixture
def synced(served: TwoSides) -> TwoSides:
    served.insert(rows(3))
    served.sync("full")
    return served


def watch(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_a_change_calls_and_silence_does_not(synced: TwoSides) -> None:
    async def work() -> None:
        async with watching(synced) as calls:
            await asyncio.sleep(0.5)
            assert calls.calls == 0
            synced.execute(
                "DELETE FROM pattern_lineage_nodes WHERE id = (SELECT min(id::text)::uuid FROM pattern_lineage_nodes)"
            )
            await calls.at_least(1)

    watch(work)


def test_it_goes_by_the_progress_of_its_own_target(served: TwoSides, tmp_path: Path) -> None:
    served.insert(rows(3))
    a, b = namesakes(served, tmp_path)
    a.sync("full")
    b.sync("full")
    served.insert(rows(1, 10))
    b.sync()

    async def work() -> None:
        async with watching(b) as silent, watching(served) as never_synced, watching(a) as calls:
            await calls.at_least(2)
        assert (silent.calls, never_synced.calls) == (0, 0)
        await asyncio.to_thread(a.sync)
        served.insert(rows(1, 20))
        await asyncio.to_thread(a.sync)
        # The newest run of the name is that of the other one.
        async with watching(a) as silent, watching(b) as calls:
            await calls.at_least(2)
        assert silent.calls == 0

    watch(work)


def test_it_goes_by_levels_so_a_change_from_before_calls_too(synced: TwoSides) -> None:
    synced.insert(rows(1, 10))

    async def work() -> None:
        async with watching(synced) as calls:
            await calls.at_least(1)

    watch(work)


def test_pauses_double_while_nothing_moves(synced: TwoSides) -> None:
    synced.insert(rows(1, 10))
    moments: list[float] = []

    async def work() -> None:
        async with watching(synced) as calls:
            for number in range(1, 5):
                await calls.at_least(number)
                moments.append(asyncio.get_running_loop().time())
            # The watermark moves, so the next call waits the shortest pause again.
            await asyncio.to_thread(synced.sync)
            synced.insert(rows(1, 20))
            await calls.at_least(5)

    watch(work)
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    # Nothing makes a pause shorter than it should be, however busy the machine is.
    assert [pause >= 0.15 * 2**number for number, pause in enumerate(pauses)] == [True] * 3


def test_nothing_calls_while_a_stream_is_up_and_its_death_does(synced: TwoSides) -> None:
    async def work() -> None:
        async with watching(synced) as calls:
            with running_stream(synced) as up:
                await asyncio.to_thread(
                    eventually, lambda: synced.execute("SELECT * FROM pattern_sync_runs WHERE kind = 'stream'")
                )
                before = calls.calls
                synced.insert(rows(1, 10))
                await asyncio.to_thread(eventually, lambda: len(synced.points()) == 4)
                assert calls.calls == before
                await asyncio.to_thread(up.cancel)
            synced.insert(rows(1, 20))
            await calls.at_least(before + 1)

    watch(work)


def test_a_stream_that_answered_and_died_is_followed_before_the_pause_is_over(
    synced: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHORTEST_PAUSE_SECONDS", 3_600.0)

    async def work() -> None:
        async with watching(synced) as calls:
            synced.insert(rows(1, 10))
            await calls.at_least(1)
            with running_stream(synced) as up:
                await asyncio.to_thread(eventually, lambda: len(synced.points()) == 4)
                await asyncio.sleep(0.2)
                await asyncio.to_thread(up.cancel)
            synced.insert(rows(1, 20))
            await calls.at_least(2)

    watch(work)


@contextmanager
def transaction_of_another_database(sides: TwoSides) -> Iterator[int]:
    """The id of a transaction that stays open; every run's horizon waits for it."""
    with psycopg.connect(sides.postgres.conninfo, dbname="postgres") as holder:
        [(xid,)] = holder.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
        yield xid
        holder.rollback()


def streamed(sides: TwoSides) -> None:
    """Let a stream take what there is, and end."""
    with running_stream(sides, linger_seconds=0.3) as up:
        up.join()


def test_what_a_stream_has_written_behind_an_open_transaction_calls_no_other_one(
    synced: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHORTEST_PAUSE_SECONDS", 3_600.0)
    first, second = rows(2, 10)

    async def work() -> None:
        async with watching(synced) as calls:
            for number, change in enumerate(("first", "second", "deletion"), 1):
                if change == "deletion":
                    synced.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [second["id"]])
                else:
                    synced.insert([first if change == "first" else second])
                # At once, although the watermark has not moved since the last call.
                await calls.at_least(number)
                await asyncio.to_thread(streamed, synced)
                await asyncio.sleep(0.5)
                assert calls.calls == number

    with transaction_of_another_database(synced) as held:
        watch(work)
        [(watermark,)] = synced.execute("SELECT watermark_xid::text::bigint FROM pattern_sync_checkpoints")
        assert watermark < held
    synced.assert_equal_sides()
    # The hourly run looks at them once more.
    assert synced.sync().counts["examined"] == 2


def test_what_an_open_transaction_has_written_calls_when_it_is_over(synced: TwoSides) -> None:
    mine, other = rows(2, 10)

    async def work() -> None:
        with psycopg.connect(synced.postgres.conninfo) as writer:
            writer.execute(INSERT, mine)
            synced.insert([other])
            await asyncio.to_thread(streamed, synced)
            async with watching(synced) as calls:
                await asyncio.sleep(0.5)
                assert calls.calls == 0
                writer.commit()
                await calls.at_least(1)
        await asyncio.to_thread(streamed, synced)

    watch(work)
    synced.assert_equal_sides()


@pytest.mark.parametrize(
    "change",
    [
        # As a restore does: the table is in another file, whatever its rows say.
        pytest.param("VACUUM FULL pattern_sync_checkpoints", id="the database was restored"),
        pytest.param("UPDATE pattern_sync_checkpoints SET arrived_in = NULL", id="nobody knows where from"),
    ],
)
def test_a_snapshot_of_another_incarnation_of_the_database_is_not_believed(synced: TwoSides, change: str) -> None:
    async def work() -> None:
        synced.insert(rows(1, 10))
        await asyncio.to_thread(streamed, synced)
        # Whatever is committed from now on, it says that it has arrived.
        synced.execute("UPDATE pattern_sync_checkpoints SET arrived_snapshot = '999999999:999999999:'")
        synced.insert(rows(1, 20))
        async with watching(synced) as calls:
            await asyncio.sleep(0.5)
            assert calls.calls == 0
            synced.execute(change)
            await calls.at_least(1)

    with transaction_of_another_database(synced):
        watch(work)


def test_a_collection_that_owes_a_comparison_has_lost_what_arrived_beyond_its_watermark(synced: TwoSides) -> None:
    with transaction_of_another_database(synced):
        for number, surprise in enumerate(
            (
                "UPDATE pattern_sync_checkpoints SET progress = '999-x', pending_progress = '999-x'",
                "ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER zz_pattern_sync_stamp_updated",
            )
        ):
            synced.insert(rows(1, 10 + number))
            streamed(synced)
            assert synced.execute("SELECT arrived_snapshot IS NULL FROM pattern_sync_checkpoints") == [(False,)]
            synced.execute(surprise)
            if surprise.startswith("UPDATE"):
                synced.sync("full", settled=False)
            else:
                streamed(synced)
            assert synced.execute("SELECT arrived_snapshot IS NULL FROM pattern_sync_checkpoints") == [(True,)]


@pytest.mark.parametrize("state", ["never synced", "owes a comparison", "lost triggers"])
def test_where_only_a_comparison_can_go_on_no_stream_is_called(served: TwoSides, state: str) -> None:
    served.insert(rows(3))
    if state != "never synced":
        served.sync("full")
    if state == "owes a comparison":
        served.execute("UPDATE pattern_sync_checkpoints SET watermark_xid = NULL, watermark_id = NULL")
    if state == "lost triggers":
        served.execute("UPDATE pattern_sync_checkpoints SET capture_identity = NULL")
    served.insert(rows(1, 10))

    async def work() -> None:
        async with watching(served) as calls:
            await asyncio.sleep(0.5)
            assert calls.calls == 0
            await asyncio.to_thread(served.sync, "full")
            served.insert(rows(1, 20))
            await calls.at_least(1)

    watch(work)


@pytest.mark.parametrize("kind", ["a shard", "a full sync with a limit"])
def test_runs_that_build_what_readers_do_not_see_yet_keep_no_stream_away(synced: TwoSides, kind: str) -> None:
    other = synced.with_embedding(dimension=96)
    if kind == "a shard":
        other.sync("full", id_range=other.partition(shards=2).ranges[0])
    else:
        other.sync("full", limit=2)
    assert synced.execute("SELECT count(DISTINCT collection) FROM pattern_sync_runs") == [(2,)]

    async def work() -> None:
        async with watching(synced) as calls:
            synced.insert(rows(1, 10))
            await calls.at_least(1)

    watch(work)


def test_it_connects_again(synced: TwoSides) -> None:
    async def work() -> None:
        async with watching(synced) as calls:
            for number in range(2):
                await asyncio.sleep(0.2)
                synced.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                synced.insert(rows(1, 10 + number))
                await calls.at_least(number + 1)
                await asyncio.to_thread(synced.sync)

    watch(work)


def test_a_wrong_connection_is_told_once_and_without_its_password(
    synced: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = replace(synced.postgres, database="nowhere", password=SECRET)

    async def work() -> None:
        async with watching(synced, wrong) as calls:
            await asyncio.sleep(2)
            assert calls.calls == 0

    with caplog.at_level("INFO"):
        watch(work)
    told = [record.getMessage() for record in caplog.records if "No stream is started" in record.getMessage()]
    assert len(told) == 1
    assert '"nowhere" does not exist' in told[0]
    assert SECRET not in caplog.text


def test_a_database_without_the_tables_is_named_once_and_asked_less_and_less_often(
    sides: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    """As before the first migration."""
    sides.insert(rows(1))
    sides.sync("full")
    sides.insert(rows(1, 10))
    sides.execute("ALTER TABLE pattern_sync_checkpoints RENAME TO away")
    tried = 0

    async def read() -> tuple[PostgresConfig, str]:
        nonlocal tried
        tried += 1
        if tried == 4:
            sides.execute("ALTER TABLE away RENAME TO pattern_sync_checkpoints")
        return sides.as_sync, sides.collection

    async def called() -> None:
        async for _ in unattended(read):
            return

    with caplog.at_level(logging.INFO):
        asyncio.run(asyncio.wait_for(called(), 60))
    assert tried == 4
    told = [record.message for record in caplog.records if record.name == "code_patterns.sync.unattended"]
    assert len(told) == 2
    assert told[0].startswith("No stream is started at the moment. ")
    assert told[1].endswith("answers again.")


def test_whatever_airflow_answers_it_goes_on_and_tells_each_kind_once(
    synced: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    synced.insert(rows(1, 10))
    tried = 0

    async def read() -> tuple[PostgresConfig, str]:
        nonlocal tried
        tried += 1
        if tried <= 3:
            detail = {"status_code": 500, "message": f"answer {tried} of the API server"}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        if tried == 4:
            raise ConnectionResetError("the API server restarts")
        return synced.as_sync, synced.collection

    async def called() -> None:
        async for _ in unattended(read):
            return

    with caplog.at_level(logging.INFO):
        asyncio.run(asyncio.wait_for(called(), 60))
    assert tried == 5
    told = [record.message for record in caplog.records if record.name == "code_patterns.sync.unattended"]
    assert len(told) == 3
    assert "answer 1 of the API server" in told[0]
    assert "restarts" in told[1]
    assert told[2].endswith("answers again.")


def test_it_watches_what_the_variable_names_now(synced: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams go by the Variable when they start. One for another collection would be called for again and again."""
    monkeypatch.setattr(module, "READ_SECONDS", 0.1)
    named, calls = synced.collection, 0
    synced.insert(rows(1, 10))

    async def read() -> tuple[PostgresConfig, str]:
        return synced.as_sync, named

    async def count() -> None:
        nonlocal calls
        async for _ in unattended(read):
            calls += 1

    async def work() -> None:
        nonlocal named
        task = asyncio.create_task(count())
        async with asyncio.timeout(30):
            while not calls:
                await asyncio.sleep(0.02)
        named = "another_collection"
        await asyncio.sleep(0.5)
        before = calls
        await asyncio.sleep(1.5)
        assert calls == before
        named = synced.collection
        async with asyncio.timeout(30):
            while calls == before:
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    watch(work)


def test_it_can_be_cancelled_while_it_reads() -> None:
    async def read() -> tuple[PostgresConfig, str]:
        await asyncio.sleep(60)
        raise AssertionError

    async def work() -> None:
        task = asyncio.create_task(anext(aiter(unattended(read))))  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(work())
