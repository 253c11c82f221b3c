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
