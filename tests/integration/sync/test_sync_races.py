"""The sync while others write, beside itself, and killed at any instant: nothing is lost, nothing is doubled."""

import os
import random
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.two_sides import TwoSides, rows
from tests.support.writers import in_process, race


def test_nothing_is_lost_while_eight_writers_race_the_incremental_runs(
    sides: TwoSides, record_property: Callable[[str, object], None]
) -> None:
    sides.insert(rows(1))
    sides.sync()
    kinds, deadline = [], time.monotonic() + 12
    with race(sides, 8) as writers:
        # A busy machine takes longer for a race that says something.
        while time.monotonic() < deadline or len(kinds) < 2 or sum(writer.commits for writer in writers) <= 200:
            kinds.append(sides.sync(batch_size=7, settled=False).kind)
    sides.sync()

    assert set(kinds) == {"incremental"}
    assert sides.execute("SELECT count(*) FROM pattern_sync_runs WHERE kind = 'full'") == [(1,)]
    sides.assert_equal_sides()
    record_property("commits", sum(writer.commits for writer in writers))


def test_rows_changed_while_a_full_sync_reads_do_not_break_its_proof(sides: TwoSides) -> None:
    sides.insert(rows(400))
    with race(sides, 3):
        results = [
            sides.sync("full", batch_size=20, delay_seconds=0.02, allow_mass_delete=True, settled=False)
            for _ in range(2)
        ]
    assert [result.parity for result in results] == ["proven", "proven"]
    sides.sync()
    sides.assert_equal_sides()


def count_runs(sides: TwoSides) -> int:
    return int(sides.execute("SELECT count(*) FROM pattern_sync_runs")[0][0])


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_killed_at_twenty_instants_and_retried_ends_in_the_same_content(sides: TwoSides, mode: str) -> None:
    patterns = rows(200)
    sides.insert(patterns[:80])
    sides.sync("full")
    sides.insert(patterns[80:])
    ids = [row["id"] for row in patterns]
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"k\": 1}' WHERE id = ANY(%s)", [ids[:20]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [ids[20:30]])
    instants = random.Random(7)
    killed = 0
    for number in range(20):
        # A change before each kill, so that there is always work to be killed in.
        sides.execute(
            "UPDATE pattern_lineage_nodes SET pattern_data = jsonb_build_object('code', %s::text) WHERE id = ANY(%s)",
            [f"x = {number}", ids[30 + number * 5 : 60 + number * 5]],
        )
        before = count_runs(sides)
        process = in_process(lambda: sides.sync(mode, batch_size=4, delay_seconds=0.1, settled=False))
        while number % 2 and process.is_alive() and count_runs(sides) == before:
            # Half of them are killed at work, however long a busy machine takes to begin.
            time.sleep(0.02)
        time.sleep(instants.uniform(0.02, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed >= 15
    result = sides.sync(mode)
    sides.assert_equal_sides()
    assert result.counts["parked"] == 0
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []
    statuses = dict(sides.execute("SELECT status, count(*) FROM pattern_sync_runs GROUP BY status"))
    assert statuses.keys() <= {"succeeded", "abandoned"}
    assert statuses["abandoned"] > 0
    assert sides.sync(mode).counts["embedded_texts"] == 0


def test_killed_first_sync_is_finished_by_the_next(sides: TwoSides) -> None:
    sides.insert(rows(150))
    for delay in (0.05, 0.2, 0.4):
        process = in_process(lambda: sides.sync("full", batch_size=5, delay_seconds=0.03, settled=False))
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert sides.sync().parity == "proven"
    sides.assert_equal_sides()


def test_runs_at_the_same_time_wait_for_each_other(sides: TwoSides) -> None:
    sides.insert(rows(100))
    sides.sync("full")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    sides.insert(rows(60, start=200))
    intervals = [(hour - timedelta(hours=n), hour - timedelta(hours=n - 1)) for n in (-1, 0, 1)]
    processes = [
        in_process(lambda: sides.sync(batch_size=5, delay_seconds=0.01, settled=False)),
        in_process(lambda: sides.sync("full", batch_size=5, delay_seconds=0.01, settled=False)),
        *[in_process(lambda span=span: sides.sync(interval=span, batch_size=5, settled=False)) for span in intervals],
    ]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 5
    sides.assert_equal_sides()
    counts = sides.execute(
        "SELECT sum(created), bool_and(status = 'succeeded'), count(*) FROM pattern_sync_runs WHERE created > 0"
    )
    assert (counts[0][0], counts[0][1]) == (160, True)
    overlaps = sides.execute(
        "SELECT count(*) FROM pattern_sync_runs AS one JOIN pattern_sync_runs AS other ON one.id <> other.id "
        "AND one.started_at < other.started_at AND one.finished_at > other.started_at"
    )
    assert overlaps == [(0,)]
