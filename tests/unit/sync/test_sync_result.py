"""What a run tells: progress at a humane pace, and a table at the end."""

import json
import uuid

import pytest

from code_patterns.sync import sync_result as report
from code_patterns.sync.sync_result import Counts, Progress, SyncResult


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    return now


def test_progress_tells_done_total_rate_and_time_left(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    progress, counts = Progress(10_000), Counts()
    for second in range(0, 121):
        clock[0] = second
        counts.examined = 50 * second
        counts.new = 40 * second
        progress.show(counts)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == (
        "500 of 10,000 patterns looked at (5 %), 50 per second, about 3 min 10 s left; 400 written, 0 parked."
    )
    assert len(lines) == 4, "a line after ten seconds, then one every thirty"


def test_a_short_run_says_nothing_on_the_way(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    progress = Progress(0)
    clock[0] = 9.9
    progress.show(Counts(examined=5))
    assert caplog.records == []


@pytest.mark.parametrize(("seconds", "told"), [(3, "3 s"), (190, "3 min 10 s"), (7_260, "2 h 1 min")])
def test_durations_read_well(seconds: float, told: str) -> None:
    assert report._duration(seconds) == told


def test_result_is_numbers_in_xcom_and_a_table_in_the_log() -> None:
    result = SyncResult(
        run_id=uuid.UUID(int=1),
        kind="full",
        collection="code_patterns",
        dry_run=False,
        counts=Counts(examined=200, new=150, unchanged=50).as_dict(),
        seconds=4.0,
        embed_seconds=1.0,
        upsert_seconds=0.5,
        parity="proven",
        dead_letters=0,
        lag_seconds=0.0,
        watermark_xid=77,
    )
    xcom = result.as_xcom()
    assert json.loads(json.dumps(xcom)) == xcom
    assert (xcom["new"], xcom["patterns_per_second"], xcom["parity"]) == (150, 50.0, "proven")
    assert "patterns per second  50.0" in result.table()
