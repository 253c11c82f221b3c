"""The stream: changes are found as they come, behind old transactions too, beside other runs, and nothing is lost."""

import asyncio
import time
import uuid
from typing import Any

import psycopg
import pytest
from qdrant_client import models

from code_patterns.errors import NothingToDoError
from code_patterns.servers.postgres_pool import PostgresPool
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sql import query, query_over
from code_patterns.sync.run_locks import stream_lock
from code_patterns.sync.snapshot import Snapshot, Span
from code_patterns.sync.source import Look, PatternSource
from code_patterns.web.history import History
from tests.support.faulty_qdrant import QdrantServer
from tests.support.running_stream import eventually, running_stream
from tests.support.two_sides import INSERT, TwoSides, rows


def holds(sides: TwoSides, row: dict[str, Any]) -> bool:
    found = sides.with_client(lambda client: client.retrieve(sides.collection, [str(row["id"])], with_payload=False))
    return bool(found)


def stored(sides: TwoSides) -> int:
    """How many points there are, without reading them."""
    return int(sides.with_client(lambda client: client.count(sides.collection)).count)


def delete_alias(name: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))


def history(sides: TwoSides) -> list[tuple[Any, ...]]:
    return sides.execute(
        "SELECT status, created, changed, deleted, latency_p50 IS NOT NULL, error FROM pattern_sync_runs "
        "WHERE kind = 'stream' ORDER BY started_at"
    )


def test_changes_are_found_as_they_come_and_counted_at_the_end(served: TwoSides) -> None:
    first, second, third = rows(3)
    served.insert([first])
    served.sync("full")
    with running_stream(served, linger_seconds=2.0) as up:
        served.insert([second])
        eventually(lambda: holds(served, second))
        served.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE id = %s", [second["id"]])
        eventually(lambda: served.points()[second["id"]]["pattern_name"] == "renamed")
        served.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [first["id"]])
        eventually(lambda: not holds(served, first))
        served.insert([third])
        result = up.join()
    done = {"examined": 4, "new": 2, "words_only": 1, "deleted": 1, "embedded_texts": 2}
    counts = dict(result.counts)
    assert counts.pop("embedded_characters") > 0
    assert {name: count for name, count in counts.items() if count} == done
    assert result.latency_p50 is not None
    assert result.latency_p99 is not None
    assert 0 < result.latency_p50 <= result.latency_p99
    assert result.ended == "nothing has changed for 2 s"
    assert not result.comparison_needed
    assert result.lag_seconds == 0
    assert result.summary().startswith("2 new, 1 with new words only, 1 deleted; lag 0 s; found after ")
    assert history(served) == [("succeeded", 2, 0, 1, True, None)]
    served.assert_equal_sides()
    # The hourly run finds nothing to do.
    assert served.sync().counts["examined"] == 0


def test_the_embedded_storage_is_free_between_two_changes(sides: TwoSides) -> None:
    first, second = rows(2)
    sides.insert([first])
    sides.sync("full")
    with running_stream(sides):
        sides.insert([second])
        eventually(lambda: sides.execute("SELECT watermark_xid FROM pattern_sync_checkpoints")[0][0] is not None)
        time.sleep(1)
        eventually(lambda: sides.sync(patience_seconds=20.0).counts["unchanged"] == 0)
        assert holds(sides, second)
    sides.assert_equal_sides()


def test_rows_behind_an_old_transaction_are_written_and_the_watermark_waits(served: TwoSides) -> None:
    old, new, newer = rows(3)
    served.sync("full", allow_mass_delete=True)
    with psycopg.connect(served.postgres.conninfo) as holder, running_stream(served):
        holder.execute(INSERT, old)
        [(held,)] = holder.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
        served.insert([new])
        eventually(lambda: holds(served, new))
        served.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [new["id"]])
        served.insert([newer])
        eventually(lambda: holds(served, newer) and not holds(served, new))
        [(watermark,)] = served.execute("SELECT watermark_xid::text::bigint FROM pattern_sync_checkpoints")
        assert watermark < held
        assert not holds(served, old)
        holder.commit()
        eventually(lambda: holds(served, old))
    served.assert_equal_sides()
    assert served.sync().counts["new"] == 0


def test_what_is_written_behind_an_old_transaction_is_not_read_again_by_each_look(served: TwoSides) -> None:
    served.sync("full", allow_mass_delete=True)
    count = 20_000
    with (
        psycopg.connect(served.postgres.conninfo) as holder,
        psycopg.connect(served.postgres.conninfo, autocommit=True) as connection,
    ):
        holder.execute(INSERT, rows(1)[0])
        connection.execute(
            "INSERT INTO pattern_lineage_nodes (pattern_id, pattern_name, pattern_type, pattern_data) "
            "SELECT number::text, 'a config', 'config', '{}' FROM generate_series(1, %s) AS number",
            [count],
        )
        # So far apart are the old transaction and the next ones of a working day.
        connection.execute(
            "DO $$ BEGIN FOR number IN 1..2000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )
        connection.execute("VACUUM ANALYZE pattern_lineage_nodes")
        [(seen,)] = connection.execute("SELECT pg_current_snapshot()::text").fetchall()

        def read(name: str, **parameters: Any) -> int:
            statement = query_over("sync_rows", name) if name == "sync_changed_rows" else query(name)
            explained = connection.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, parameters)
            [[plan]] = [row[0] for row in explained.fetchall()]
            return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])

        assert read("sync_lag", seen="1:1:") > 100
        assert read("sync_look", seen=seen) < 50
        assert read("sync_lag", seen=seen) < 50
        [(until,)] = connection.execute("SELECT pg_current_snapshot()::text").fetchall()
        span = Span(Snapshot(seen).watermark, Snapshot(until), Snapshot(seen))
        for part in span.parts():
            page = {**part.parameters, "page": 500, "page_bytes": None}
            for name in ("sync_changed_rows", "sync_changed_count", "sync_tombstones"):
                assert read(name, **page) < 50


def test_a_quiet_end_moves_the_watermark_over_an_old_transaction_that_ended(served: TwoSides) -> None:
    """Otherwise the next stream would start for changes that are done."""
    [row] = rows(1)
    served.sync("full", allow_mass_delete=True)
    with psycopg.connect(served.postgres.conninfo) as holder, running_stream(served, linger_seconds=3.0) as up:
        holder.execute("SELECT pg_current_xact_id()")
        served.insert([row])
        eventually(lambda: holds(served, row))
        holder.rollback()
        served.settle()
        up.join()
    assert served.sync().counts["examined"] == 0


def test_a_transaction_of_another_database_holds_nothing_back(served: TwoSides) -> None:
    served.sync("full", allow_mass_delete=True)
    elsewhere = psycopg.connect(served.postgres.conninfo, dbname="postgres")
    with elsewhere, running_stream(served):
        elsewhere.execute("SELECT pg_current_xact_id()")
        [row] = rows(1)
        served.insert([row])
        eventually(lambda: holds(served, row))
        elsewhere.rollback()
    served.assert_equal_sides()


def test_who_says_what_waits_counts_rows_behind_an_old_transaction_until_a_stream_has_written_them(
    served: TwoSides,
) -> None:
    def page() -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            pool = PostgresPool(served.as_reader, 30.0)
            try:
                return await History(pool, served.collection).status()
            finally:
                await pool.close()

        return asyncio.run(ask())

    served.insert(rows(3))
    served.sync("full")
    with psycopg.connect(served.postgres.conninfo) as holder:
        holder.execute("SELECT pg_current_xact_id()")
        served.insert(rows(2, 10))
        hourly = served.sync(settled=False)
        assert (hourly.counts["new"], hourly.behind) == (0, 2)
        assert hourly.lag_seconds > 0
        assert (page()["state"], page()["behind"]) == ("behind", 2)
        with running_stream(served, linger_seconds=0.3) as up:
            assert up.join().counts["new"] == 2
        assert served.sync(settled=False).behind == 0
        assert (page()["state"], page()["lag_seconds"]) == ("in sync", 0)
        served.insert(rows(1, 20))
        assert (served.sync(settled=False).behind, page()["behind"]) == (1, 1)
        holder.rollback()
    assert (served.sync().behind, page()["behind"]) == (0, 0)


def test_the_few_go_before_the_rest_of_a_burst(served: TwoSides) -> None:
    served.sync("full", allow_mass_delete=True)
    # Slow enough that the burst is not over before the single row comes.
    with running_stream(served, batch_size=5, delay_seconds=0.05, poll_milliseconds=50):
        burst, [single] = rows(600), rows(1, 700)
        served.insert(burst)
        eventually(lambda: stored(served) > 20)
        served.insert([single])
        eventually(lambda: holds(served, single))
        assert stored(served) < 600
        eventually(lambda: stored(served) == 601)
    served.assert_equal_sides()
    assert served.sync().counts["new"] == 0


def test_a_row_that_was_parked_and_mended_goes_before_the_rest_of_a_burst(served: TwoSides) -> None:
    served.sync("full", allow_mass_delete=True)
    # The first of the burst, so that it is parked long before the last.
    [bad] = rows(1, 700, id=uuid.UUID(int=1), pattern_data='"unreadable"')
    with running_stream(served, batch_size=5, delay_seconds=0.05, poll_milliseconds=50):
        served.insert([bad, *rows(600)])
        eventually(lambda: served.execute("SELECT node_id FROM pattern_sync_dead_letters") == [(bad["id"],)])
        served.execute(
            'UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "x = 1"}\' WHERE id = %s', [bad["id"]]
        )
        eventually(lambda: holds(served, bad))
        assert stored(served) < 600
        eventually(lambda: stored(served) == 601)
    served.assert_equal_sides()
    assert served.execute("SELECT count(*) FROM pattern_sync_dead_letters") == [(0,)]


def test_what_is_committed_right_after_a_burst_does_not_wait_for_it(served: TwoSides) -> None:
    """The snapshot that shows the burst shows it too, as its last transaction."""
    served.sync("full", allow_mass_delete=True)
    burst, [single] = rows(600), rows(1, 700)
    with psycopg.connect(served.postgres.conninfo) as writer, writer.cursor() as cursor:
        cursor.executemany(INSERT, burst)
    served.insert([single])
    with running_stream(served, batch_size=5, delay_seconds=0.05, poll_milliseconds=50):
        eventually(lambda: holds(served, single))
        assert stored(served) < 600
        eventually(lambda: stored(served) == 601)
    served.assert_equal_sides()
    assert served.sync().counts["new"] == 0


def test_what_a_full_page_left_out_is_read_by_the_next_drain(served: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change of many rows of a burst, some of them on their way to Qdrant: more than one look takes."""
    served.sync("full", allow_mass_delete=True)
    burst = rows(900)
    served.insert(burst)
    look, looked = PatternSource.look, iter(range(1))

    async def changed_again(self: PatternSource, seen: Snapshot) -> Look:
        if next(looked, None) is not None:
            ids = sorted(row["id"] for row in burst)[:700]
            served.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"again\": 1}' WHERE id = ANY(%s)", [ids])
        return await look(self, seen)

    monkeypatch.setattr(PatternSource, "look", changed_again)
    with running_stream(served, batch_size=20, poll_milliseconds=50, linger_seconds=1.0) as up:
        up.join()
    served.assert_equal_sides()
    assert served.sync().counts["payload_only"] == 0


def test_other_runs_come_first_and_the_stream_goes_on(served: TwoSides) -> None:
    served.sync("full", allow_mass_delete=True)
    with running_stream(served, batch_size=5, delay_seconds=0.1, poll_milliseconds=50) as up:
        burst = rows(600)
        served.insert(burst)
        eventually(lambda: stored(served) > 10)
        # The burst needs 12 s at least; the hourly run takes all that is left of it, at once.
        hourly = served.sync(patience_seconds=30.0)
        assert hourly.kind == "incremental"
        assert hourly.counts["new"] > 100
        served.insert(rows(1, 700))
        eventually(lambda: stored(served) == 601)
        assert up.is_up
    served.assert_equal_sides()


def test_one_stream_is_enough(served: TwoSides) -> None:
    served.insert(rows(1))
    served.sync("full")
    with running_stream(served):
        eventually(lambda: history(served))
        with running_stream(served) as second, pytest.raises(NothingToDoError, match="Another stream works"):
            second.join()


@pytest.mark.parametrize("state", ["never synced", "restored collection", "lost triggers", "lost alias"])
def test_what_only_a_comparison_can_mend_ends_the_stream(served: TwoSides, state: str) -> None:
    served.insert(rows(3))
    if state != "never synced":
        served.sync("full")
    if state == "lost triggers":
        served.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER zz_pattern_sync_stamp_updated")
    if state == "restored collection":
        served.execute("UPDATE pattern_sync_checkpoints SET progress = '999-x', pending_progress = '999-x'")
    if state == "lost alias":
        served.with_client(lambda client: client.update_collection_aliases([delete_alias(served.collection)]))
    with running_stream(served) as up:
        result = up.join()
    assert result.comparison_needed
    assert {
        "never synced": "never synced from this database",
        "restored collection": "the Qdrant collection is older",
        "lost alias": f"the alias '{served.collection}' is gone",
        "lost triggers": "not every change of pattern_lineage_nodes is recorded",
    }[state] in result.ended
    assert served.execute("SELECT count(*) FROM pattern_sync_checkpoints WHERE watermark_xid IS NOT NULL") == [(0,)]
    assert served.sync("full").parity == "proven"
    served.assert_equal_sides()


def test_a_surprise_in_the_middle_ends_it_before_it_writes(served: TwoSides) -> None:
    served.insert(rows(3))
    served.sync("full")
    with running_stream(served) as up:
        eventually(lambda: history(served))
        served.execute("UPDATE pattern_sync_checkpoints SET progress = '999-x', pending_progress = '999-x'")
        served.insert(rows(1, 10))
        result = up.join()
    assert result.comparison_needed
    assert len(served.points()) == 3


def test_it_goes_on_after_its_connections_were_cut(served: TwoSides) -> None:
    served.insert(rows(1))
    served.sync("full")
    with running_stream(served) as up:
        eventually(lambda: history(served))
        for number in range(3):
            served.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            [row] = rows(1, 10 + number)
            served.insert([row])
            eventually(lambda row=row: holds(served, row))
        assert up.is_up
    served.assert_equal_sides()


def test_connections_cut_at_its_end_leave_neither_a_debt_nor_its_history_open(served: TwoSides) -> None:
    """As when PostgreSQL is started again: all connections are dead, and a comparison is needed."""
    served.insert(rows(3))
    served.sync("full")
    with running_stream(served) as up:
        eventually(lambda: history(served))
        served.execute("UPDATE pattern_sync_checkpoints SET unfinished_in = 'before the restart'")
        served.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        result = up.join()
    assert result.comparison_needed
    assert "its server started again since" in result.ended
    assert served.execute("SELECT watermark_xid FROM pattern_sync_checkpoints") == [(None,)]
    assert [status for status, *_ in history(served)] == ["succeeded"]


def test_its_time_is_limited(served: TwoSides) -> None:
    served.insert(rows(1))
    served.sync("full")
    with running_stream(served, max_minutes=0.02) as up:
        assert up.join().ended == "its 0 minutes are over"


def test_a_stream_that_is_stopped_says_so_and_leaves_no_lock(served: TwoSides) -> None:
    served.insert(rows(1))
    served.sync("full")
    with running_stream(served) as up:
        eventually(lambda: history(served))
        up.cancel()
    assert [status for status, *_ in history(served)] == ["stopped"]
    lock = stream_lock(served.collection)
    take = "SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))"
    # PostgreSQL ends a session a moment after its client has left.
    eventually(lambda: served.execute(take, [lock.space, lock.key]) == [(True,)], 5)


def test_it_lasts_out_a_qdrant_that_is_away(served: TwoSides, qdrant_server: QdrantServer) -> None:
    served.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    served.insert(rows(1))
    served.sync("full")
    with running_stream(served) as up:
        eventually(lambda: history(served))
        qdrant_server.go_down()
        [row] = rows(1, 10)
        served.insert([row])
        time.sleep(2)
        qdrant_server.heal()
        eventually(lambda: holds(served, row))
        assert up.is_up
    served.assert_equal_sides()
