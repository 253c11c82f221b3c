"""Progress of a run in the log, at a humane pace."""

import pytest

from code_patterns import progress
from code_patterns.progress import ProgressLog


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_progress_tells_done_total_rate_and_time_left(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = ProgressLog("patterns", 10_000)
    for second in range(0, 121):
        clock[0] = second
        log.show(50 * second, written=40 * second, parked=0)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == (
        "500 of 10,000 patterns looked at (5 %), 50 per second, about 3 min 10 s left; 400 written, 0 parked."
    )
    assert len(lines) == 4, "a line after ten seconds, then one every thirty"


def test_a_short_run_says_nothing_on_the_way(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = ProgressLog("patterns", 0)
    clock[0] = 9.9
    log.show(5)
    assert caplog.records == []


@pytest.mark.parametrize(("seconds", "told"), [(3, "3 s"), (190, "3 min 10 s"), (7_260, "2 h 1 min")])
def test_durations_read_well(seconds: float, told: str) -> None:
    assert progress._duration(seconds) == told
