"""What a person may choose for the daily analytics."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from code_patterns.errors import ConfigurationError
from code_patterns.params import choose_whole_number
from pattern_learning.arguments import Period

RETENTION_VARIABLE = "pattern_trace_retention_days"
RETENTION_DAYS = 90

ONE_DAY = timedelta(days=1)


def choose_day(param: Any, start: datetime | None, end: datetime | None) -> Period:
    """Choose the period of a run.

    :param param: a day as ``2026-03-01``, which beats the run's data interval; ``None`` or blank for none
    :param start: begin of the data interval, if the run has one
    :param end: its end
    :return: that day of UTC, else the data interval, else yesterday
    :raises ConfigurationError: the Param is no day, or one that is not over
    """
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if param is not None and str(param).strip() not in ("", "None"):
        try:
            day = date.fromisoformat(str(param).strip())
        except ValueError:
            raise ConfigurationError(f"The Param 'day' is {param!r}; it must be a day such as 2026-03-01.") from None
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if begin >= today:
            raise ConfigurationError(
                f"The Param 'day' is {param!r}, which is not over yet in UTC; choose an earlier day."
            )
        return Period(begin, begin + ONE_DAY)
    if start is not None and end is not None and start < end:
        return Period(start, end)
    return Period(today - ONE_DAY, today)


def choose_retention(read_variable: Callable[[str], str | None]) -> int:
    """Choose how many days traces are kept.

    :param read_variable: reads an Airflow Variable
    :raises ConfigurationError: naming the Variable and its value
    """
    days = choose_whole_number(RETENTION_VARIABLE, None, RETENTION_VARIABLE, RETENTION_DAYS, read_variable)
    return days or RETENTION_DAYS
