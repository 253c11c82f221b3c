"""The settings of the daily analytics."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.params import ReadVariable, Variable, choose
from code_patterns.servers.patience import PATIENCE_SECONDS
from code_patterns.typed_fields import Day, Days, Flag, Seconds
from pattern_learning.arguments import Period
from pattern_learning.values import INFINITE_PAST

ONE_DAY = timedelta(days=1)
CLOCKS_DIFFER = timedelta(minutes=5)
"""Most that the clock of a worker is behind that of the scheduler, which starts a run at the end of its interval."""


@dataclass(frozen=True)
class Patience:
    """How many seconds a task waits at its start for a server that is down."""

    patience_seconds: Annotated[Seconds, Variable("patterns_patience_seconds")] = PATIENCE_SECONDS


@dataclass(frozen=True)
class Retention(Patience):
    """How many days traces are kept; 0 means for ever. A dry run only counts what would be deleted."""

    dry_run: Flag = False
    days: Annotated[Days, Variable("pattern_trace_retention_days")] = 90


@dataclass(frozen=True)
class DayParam:
    """The day that a person gives a run by a Param; ``None`` for none."""

    day: Day | None = None


def choose_day(param: Any, start: datetime | None, end: datetime | None) -> Period:
    """Choose the period of a run.

    :param param: a day such as ``2026-03-01``; it beats the run's data interval; ``None`` or blank for none
    :param start: begin of the data interval, if the run has one
    :param end: its end
    :return: that day of UTC, else the data interval, else yesterday
    :raises ConfigurationError: the Param is not a day, day or interval are not over, or it is the first one
    """
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = choose(DayParam, {"day": param}, lambda name: None).day
    if day is not None:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if begin == INFINITE_PAST:
            raise ConfigurationError(
                Code.SETTING_WRONG, f"The Param 'day' is {param!r}, which has no day before it; choose a later day."
            )
        if begin >= today:
            raise ConfigurationError(
                Code.SETTING_WRONG,
                f"The Param 'day' is {param!r}, which is not over yet in UTC; choose an earlier day.",
            )
        return Period(begin, begin + ONE_DAY)
    if start is not None and end is not None and start < end:
        if end > datetime.now(UTC) + CLOCKS_DIFFER:
            raise ConfigurationError(
                Code.SETTING_WRONG,
                f"The data interval of the run ends at {end.isoformat()}, which is not over yet; trigger a run with a "
                "past interval, or with the Param 'day'.",
            )
        return Period(start, end)
    return Period(today - ONE_DAY, today)


def choose_patience(read_variable: ReadVariable) -> float:
    """Choose how many seconds a task waits at its start for a server that is down.

    :param read_variable: reads an Airflow Variable
    :raises ConfigurationError: the Variable's value makes no sense; the message names both
    """
    return choose(Patience, {}, read_variable).patience_seconds


def choose_retention(read_variable: ReadVariable, dry_run: Any = False) -> Retention:
    """Choose how long traces are kept; see :func:`choose_patience`.

    :param dry_run: whether only to count, as Airflow renders it
    """
    return choose(Retention, {"dry_run": dry_run}, read_variable)
