"""Which day the daily analytics computes."""

from datetime import UTC, datetime, timedelta

import pytest

from code_patterns.errors import ConfigurationError
from pattern_learning.arguments import Period
from pattern_learning.daily import choose_day


def test_the_first_day_has_none_before_it() -> None:
    """PostgreSQL would get its begin as -infinity."""
    with pytest.raises(ConfigurationError, match="The Param 'day' is '0001-01-01', which has no day before it"):
        choose_day("0001-01-01", None, None)
    second = datetime(1, 1, 2, tzinfo=UTC)
    assert choose_day("0001-01-02", None, None) == Period(second, second + timedelta(days=1))


def test_an_interval_that_is_not_over_is_no_period() -> None:
    start, end = datetime(2100, 1, 1, tzinfo=UTC), datetime(2100, 1, 2, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match=r"interval of the run ends at 2100-01-02T00:00:00\+00:00"):
        choose_day(None, start, end)
    # The clock of the scheduler goes before that of this worker.
    just = datetime.now(UTC) + timedelta(seconds=20)
    before = just - timedelta(days=1)
    assert choose_day(None, before, just) == Period(before, just)
    assert choose_day("2026-03-01", start, end).end == datetime(2026, 3, 2, tzinfo=UTC)
