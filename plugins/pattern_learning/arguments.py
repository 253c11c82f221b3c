"""Check the arguments that several operations share."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pattern_learning import values
from pattern_learning.contract import ModelContractEffect
from pattern_learning.values import Refusal, refuse

MOST_BUCKETS = 10_000
"""Most rows of a trend."""

# Less than there are in PostgreSQL, from November 4714 BC on.
_BEFORE_YEAR_1 = timedelta(days=4713 * 365)
_BUCKET_DAYS = {"day": 1, "week": 7, "month": 28}


@dataclass(frozen=True)
class Page:
    """Which of the found rows are returned.

    :param limit: most rows
    :param offset: rows to skip
    """

    limit: int
    offset: int


@dataclass(frozen=True)
class Period:
    """A span of time in UTC, ``[start, end)``."""

    start: datetime
    end: datetime


def pattern_id(contract: ModelContractEffect) -> UUID:
    """Return the id of the template that an operation is about.

    :raises Refusal: it is missing or malformed
    """
    if contract.pattern_id is None:
        raise Refusal(f"pattern_id required: {contract.operation} needs the id of a template.")
    return values.identity("pattern_id", contract.pattern_id)


def optional_pattern_id(contract: ModelContractEffect) -> UUID | None:
    """Return the id of the template, or ``None`` for all templates.

    :raises Refusal: it is malformed
    """
    return None if contract.pattern_id is None else values.identity("pattern_id", contract.pattern_id)


def page(contract: ModelContractEffect) -> Page:
    """Return which of the found rows are wanted.

    :raises Refusal: limit or offset is not a whole number of at least 0
    """
    return Page(values.count("limit", contract.limit), values.count("offset", contract.offset))


def period(contract: ModelContractEffect, default_days: int) -> Period:
    """Return a period; the end defaults to now, the start to some days before the end.

    :raises Refusal: a time is malformed, or the period is empty
    """
    end = datetime.now(UTC) if contract.period_end is None else values.moment("period_end", contract.period_end)
    if contract.period_start is None:
        start = _before(end, default_days)
    else:
        start = values.moment("period_start", contract.period_start)
    if start >= end:
        refuse("period_start", start.isoformat(), f"before period_end, {end.isoformat()}")
    return Period(start, end)


def comparable_period(contract: ModelContractEffect, default_days: int) -> Period:
    """Return a period as :func:`period` does, of which PostgreSQL has the preceding one of the same length too.

    :raises Refusal: also if that one would begin before PostgreSQL's first day
    """
    found = period(contract, default_days)
    if found.end - found.start > found.start - values.INFINITE_PAST + _BEFORE_YEAR_1:
        refuse("period_start", found.start.isoformat(), "late enough for a period of the same length since 4713 BC")
    return found


def _before(end: datetime, days: int) -> datetime:
    if end - values.INFINITE_PAST <= timedelta(days=days):
        refuse("period_end", end.isoformat(), f"a time with more than {days} days before it, or period_start be given")
    return end - timedelta(days=days)


def bucket(contract: ModelContractEffect, span: Period) -> str:
    """Return the span that a trend is aggregated by.

    :raises Refusal: it is not day, week or month, or the period has too many of them
    """
    chosen: Any = contract.aggregate_by
    if not isinstance(chosen, str) or chosen not in _BUCKET_DAYS:
        refuse("aggregate_by", chosen, "day, week or month")
    if (span.end - span.start).days / _BUCKET_DAYS[chosen] > MOST_BUCKETS:
        raise Refusal(
            f"period_start is {span.start.isoformat()}, more than {MOST_BUCKETS} {chosen}s before period_end; take a "
            "later start or a longer aggregate_by."
        )
    return chosen
