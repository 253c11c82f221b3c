"""Analytics of a period, trends, effectiveness, totals."""

from collections.abc import Iterable, Mapping
from itertools import dropwhile
from typing import Any, ClassVar

import asyncpg

from pattern_learning import arguments, statements
from pattern_learning.contract import ASYNCPG_AVAILABLE, ModelContractEffect, ModelResult
from pattern_learning.effect import Operation, PatternEffect
from pattern_learning.refusals import invalid_reference, unknown_template
from pattern_learning.rows import as_rows, as_text
from pattern_learning.values import Refusal

__all__ = ["ASYNCPG_AVAILABLE", "ModelContractEffect", "ModelResult", "NodePatternAnalyticsEffect"]

ANALYTICS_DAYS = 30
"""Length of the period if none is given."""

TREND_DAYS = 90
"""How far trends reach back if no start is given."""

MOST_QUALITY_ROWS = 10_000
"""Most rows of quality trends over all templates, the newest ones."""

_TOP = 10


class NodePatternAnalyticsEffect(PatternEffect):
    """Reads ``pattern_usage_events`` and writes ``pattern_analytics``."""

    name = "analytics"

    async def _compute_analytics(self, contract: ModelContractEffect) -> dict[str, Any]:
        pattern_id = arguments.optional_pattern_id(contract)
        period = arguments.comparable_period(contract, ANALYTICS_DAYS)

        async def compute(_: bool) -> Any:
            # The function writes the row in one statement; reading it needs no transaction around both.
            async with self._connection() as connection:
                statement = statements.statement("learning_compute")
                row_id = await connection.fetchval(statement, period.start, period.end, pattern_id)
                return await connection.fetchrow(statements.statement("learning_analytics_row"), row_id)

        try:
            row = await self._until_answered(compute)
        except asyncpg.ForeignKeyViolationError:
            if pattern_id is None:
                raise
            raise invalid_reference("pattern_id", pattern_id) from None
        if row is None:
            raise Refusal("The row was deleted before it could be read, as with its template. Compute it again.")
        return as_text(row, id="analytics_id")

    async def _get_usage_trends(self, contract: ModelContractEffect) -> list[dict[str, Any]]:
        return await self._trend("learning_usage_trends", contract)

    async def _get_quality_trends(self, contract: ModelContractEffect) -> list[dict[str, Any]]:
        if contract.pattern_id is not None:
            return (await self._trend("learning_quality_trends", contract))[::-1]
        period = arguments.period(contract, TREND_DAYS)
        bucket = arguments.bucket(contract, period)
        statement = statements.statement("learning_quality_trends_of_all")
        async with self._connection() as connection:
            return _points(await connection.fetch(statement, bucket, period.start, period.end, MOST_QUALITY_ROWS))

    async def _trend(self, name: str, contract: ModelContractEffect) -> list[dict[str, Any]]:
        pattern_id = arguments.optional_pattern_id(contract)
        period = arguments.period(contract, TREND_DAYS)
        bucket = arguments.bucket(contract, period)
        async with self._connection() as connection:
            rows = await connection.fetch(statements.statement(name), pattern_id, bucket, period.start, period.end)
            if pattern_id is not None and not await connection.fetchrow(
                statements.statement("learning_stats"), pattern_id
            ):
                raise unknown_template(pattern_id)
        found = _points(rows)
        if contract.period_start is None:
            # Without a start, the trend begins with the first use.
            return list(dropwhile(lambda row: not row["usage_count"], found))
        return found

    async def _get_effectiveness(self, contract: ModelContractEffect) -> dict[str, Any]:
        pattern_id = arguments.pattern_id(contract)
        async with self._connection() as connection:
            row = await connection.fetchrow(statements.statement("learning_effectiveness"), pattern_id)
        if row is None:
            raise unknown_template(pattern_id)
        return as_text(row, id="pattern_id")

    async def _get_global_stats(self, contract: ModelContractEffect) -> dict[str, Any]:
        top, parameters = statements.filtered("learning_top", {}, 3)
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            totals = await connection.fetchrow(statements.statement("learning_global_stats"))
            ranked = await connection.fetch(top, _TOP, 0, *parameters)
        return {**dict(totals), "top_patterns": as_rows(ranked)}

    operations: ClassVar[Mapping[str, Operation]] = {
        "compute_analytics": _compute_analytics,
        "get_usage_trends": _get_usage_trends,
        "get_quality_trends": _get_quality_trends,
        "get_effectiveness": _get_effectiveness,
        "get_global_stats": _get_global_stats,
    }


def _points(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a trend, their periods as ISO 8601 text."""
    return [{**row, "period": row["period"].isoformat()} for row in as_rows(records)]
