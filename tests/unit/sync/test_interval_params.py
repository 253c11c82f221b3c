"""An interval that a person chooses: both ends or none, in order, past, and not in a backfill."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.sync.interval_params import choose_interval
from code_patterns.sync.sync_settings import Interval

OWN = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC))
START, END = "2026-03-01T14:00:00Z", "2026-03-01T16:00:00Z"


def chosen(start: Any, end: Any, run_type: str = "manual", own: Interval | None = OWN) -> Interval | None:
    return choose_interval({"interval_start": start, "interval_end": end}, run_type, own)


def test_the_params_beat_the_interval_of_the_run() -> None:
    expected = Interval(datetime(2026, 3, 1, 14, tzinfo=UTC), datetime(2026, 3, 1, 16, tzinfo=UTC))
    assert chosen(START, END) == expected
    assert chosen(START, END, own=None) == expected
    assert chosen(START, END, "scheduled") == expected


@pytest.mark.parametrize("empty", [None, "", "None"])
def test_without_params_the_run_keeps_its_own(empty: str | None) -> None:
    assert chosen(empty, empty) == OWN
    assert chosen(empty, empty, own=None) is None
    assert chosen(empty, empty, "backfill") == OWN


def test_the_own_interval_of_a_run_is_past_too() -> None:
    future = Interval(datetime(2100, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, 1, tzinfo=UTC))
    with pytest.raises(ConfigurationError, match=r"data interval of the run ends at 2100-01-01T01:00:00\+00:00"):
        chosen(None, None, own=future)
    assert chosen(START, END, own=future) == chosen(START, END)


def test_a_zone_is_the_moment_that_it_names() -> None:
    interval = chosen("2026-03-01T15:00:00+01:00", "2026-03-01T11:00:00-05:00")
    assert interval == chosen(START, END)
    assert interval is not None
    assert interval.start.tzinfo == timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (START, None, ("'interval_start' is set, 'interval_end' is not",)),
        (None, END, ("'interval_end' is set, 'interval_start' is not",)),
        (END, START, ("'interval_end' is 2026-03-01T14:00:00+00:00", "not after 'interval_start'")),
        (START, START, ("not after 'interval_start'",)),
        (START, "2100-01-01T00:00:00Z", ("'interval_end' is 2100-01-01T00:00:00+00:00", "in the future")),
        ("2026-02-30T00:00:00Z", END, ("'interval_start' is '2026-02-30T00:00:00Z'", "such as 2026-03-01T14:00:00Z")),
        ("2026-03-01T14:00:00", END, ("'interval_start' is '2026-03-01T14:00:00'", "a time with its zone")),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00", ("not after",)),
    ],
)
def test_what_is_no_interval_is_one_clear_message(start: str | None, end: str | None, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        chosen(start, end)
    for word in words:
        assert word in str(raised.value)


def test_a_backfill_has_intervals_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="in a backfill, whose runs have intervals of their own"):
        chosen(START, END, "backfill")
