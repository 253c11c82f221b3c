"""Waiting for an advisory lock: what is asked, what is said, and when it ends."""

import math

import pytest

from code_patterns.errors import OutageError
from code_patterns.servers import locks
from code_patterns.servers.locks import Lock, Rows

LOCK = Lock("space", "key", holder="sync run", subject="'patterns'")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(locks.time, "monotonic", lambda: now[0])
    return now


def wait(clock: list[float], holders: Rows, seconds: float, patience: float = math.inf) -> list[str]:
    """Go through the steps of taking a lock that comes free after some seconds; return the queries."""
    asked, rows = [], None
    steps = locks._taking(LOCK, patience)
    while True:
        try:
            step = steps.send(rows)
        except StopIteration:
            return asked
        if isinstance(step, float):
            clock[0] += step
            continue
        asked.append(step)
        rows = holders if step == "lock_holders" else [(clock[0] >= seconds,)]


def test_a_free_lock_is_taken_at_once(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert wait(clock, [], 0) == ["lock_try"]
    assert caplog.records == []


def test_who_holds_it_is_said_once_a_minute(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    wait(clock, [(7, "code_patterns", 12.3), (8, "other", 1.0)], 150)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == (
        "Another sync run holds the lock on 'patterns': server process 7 (code_patterns, connected for 12 s), server "
        "process 8 (other, connected for 1 s). Waiting."
    )
    assert len(lines) == 3


def test_a_holder_whose_age_is_hidden_is_named_all_the_same(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wait(clock, [(7, "code_patterns", None)], 1)
    assert "server process 7 (code_patterns). Waiting" in caplog.text


def test_patience_ends_with_the_remedy(clock: list[float]) -> None:
    with pytest.raises(OutageError, match=r"process 7 .*Waited 5 s.*pg_terminate_backend\(7\)"):
        wait(clock, [(7, "code_patterns", 3.0)], 60, patience=5)
    assert clock[0] == pytest.approx(5)
