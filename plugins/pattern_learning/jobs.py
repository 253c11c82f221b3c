"""The work of the tasks: compute a period for all templates, delete old traces, run one operation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers.patience import patiently
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_asyncpg import connect_asyncpg
from code_patterns.servers.postgres_inquiry import inquire_asyncpg
from pattern_learning.arguments import Period
from pattern_learning.contract import ModelContractEffect
from pattern_learning.daily import Retention
from pattern_learning.effect import PatternEffect, reason_of
from pattern_learning.node_pattern_analytics_effect import NodePatternAnalyticsEffect
from pattern_learning.node_pattern_query_effect import NodePatternQueryEffect
from pattern_learning.node_pattern_storage_effect import NodePatternStorageEffect
from pattern_learning.node_pattern_update_effect import NodePatternUpdateEffect
from pattern_learning.pattern_database import SETTINGS, PatternDatabaseManager
from pattern_learning.rows import as_json
from pattern_learning.statements import statement
from pattern_learning.track2_integration import get_pattern_tracer

OPERATION_TIMEOUT_SECONDS = 3600.0

_NODES: tuple[type[PatternEffect], ...] = (
    NodePatternStorageEffect,
    NodePatternQueryEffect,
    NodePatternUpdateEffect,
    NodePatternAnalyticsEffect,
)


@dataclass(frozen=True)
class PeriodAnalytics:
    """The result of computing a period.

    :param period_start: its begin
    :param period_end: its end, excluded
    :param analytics_id: id of the row over all templates
    :param pattern_rows: rows of single templates
    :param total_usage_count: usage events of the period
    :param success_count: those that succeeded
    :param failure_count: those that failed
    """

    period_start: datetime
    period_end: datetime
    analytics_id: str
    pattern_rows: int
    total_usage_count: int
    success_count: int
    failure_count: int

    def as_xcom(self) -> dict[str, Any]:
        """Counts, ids and times as JSON."""
        return dict(as_json(asdict(self)))


async def compute_period(config: PostgresConfig, period: Period, patience: float = 0) -> PeriodAnalytics:
    """Compute the row over all templates and the row of every template used in a period, in one transaction.

    Computing a period again replaces its rows.

    :param patience: seconds to wait at the start for a server that is down
    :raises ConfigurationError: the connection does not work, or the database lacks something
    :raises OutageError: the server is away, or a template was deleted meanwhile; the next try computes it again
    """
    async with _connected(config, patience) as connection, connection.transaction():
        rows = await connection.fetchval(statement("learning_compute_used"), period.start, period.end)
        identity = await connection.fetchval(statement("learning_compute"), period.start, period.end, None)
        total = await connection.fetchrow(statement("learning_analytics_row"), identity)
    return PeriodAnalytics(
        period_start=total["period_start"],
        period_end=total["period_end"],
        analytics_id=str(identity),
        pattern_rows=rows,
        total_usage_count=total["total_usage_count"],
        success_count=total["success_count"],
        failure_count=total["failure_count"],
    )


async def prune_traces(config: PostgresConfig, retention: Retention) -> int:
    """Delete old traces; a dry run sends the same statement, in a transaction that is rolled back.

    :return: how many were deleted, or would be
    :raises ConfigurationError: as in :func:`compute_period`
    :raises OutageError: the server is away
    """
    if not retention.days:
        return 0
    async with _connected(config, retention.patience_seconds) as connection:
        transaction = connection.transaction()
        await transaction.start()
        pruned = await connection.fetchval(statement("learning_prune_traces"), retention.days, timeout=None)
        await (transaction.rollback() if retention.dry_run else transaction.commit())
    return int(pruned)


async def run_operation(config: PostgresConfig, contract: ModelContractEffect, actor: str) -> Any:
    """Run one operation of the node that has it, with a trace.

    :param actor: name in the trace
    :return: the operation's data as JSON: ids and times are text
    :raises ConfigurationError: the operation was refused, or the connection does not work
    :raises OutageError: the server is away
    """
    manager = PatternDatabaseManager(
        config=config, min_pool_size=1, max_pool_size=1, command_timeout=OPERATION_TIMEOUT_SECONDS
    )
    await manager.initialize()
    try:
        await get_pattern_tracer(actor)
        nodes = [node(manager.pool) for node in _NODES]
        names = [name for node in nodes for name in node.operations]
        node = next((node for node in nodes if contract.operation in node.operations), None)
        if node is None:
            raise ConfigurationError(
                Code.ARGUMENT_REFUSED, f"operation is {contract.operation!r}; it must be one of {', '.join(names)}."
            )
        result = await node.execute_effect(contract)
    finally:
        await manager.close()
    if not result.success:
        kind = OutageError if result.metadata["retryable"] else ConfigurationError
        code = Code(result.metadata["code"])
        reason = str(result.error).removesuffix(f" [{code}]")
        raise kind(code, f"{contract.operation} on {config.address} failed: {reason}")
    return as_json(result.data)


@asynccontextmanager
async def _connected(config: PostgresConfig, patience: float) -> AsyncIterator[Any]:
    connection = await patiently(partial(connect_asyncpg, config, SETTINGS), patience)
    try:
        yield connection
    except Exception as error:
        await inquire_asyncpg(connection, error)
        reason = reason_of(error)
        if reason is None:
            raise
        # A template was deleted while its row was computed; the next try does not see it.
        retryable = reason.retryable or isinstance(error, asyncpg.ForeignKeyViolationError)
        kind = OutageError if retryable else ConfigurationError
        raise kind(reason.code, f"At {config.address}: {reason.message}") from None
    finally:
        await connection.close(timeout=5)
