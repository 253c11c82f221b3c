"""The base of the four nodes: run one operation, from its contract to its result."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from code_patterns.codes import Code
from code_patterns.errors import OutageError, PatternsError
from code_patterns.servers.postgres_asyncpg import Borrowed
from code_patterns.servers.postgres_errors import Kind, diagnose, explain
from pattern_learning import track2_integration, values
from pattern_learning.contract import ModelContractEffect, ModelResult
from pattern_learning.refusals import too_large
from pattern_learning.statements import statement
from pattern_learning.trace_writer import Trace
from pattern_learning.values import Refusal, refuse

log = logging.getLogger(__name__)

ACQUIRE_TIMEOUT_SECONDS = 30.0
REPEAT_WAITS_SECONDS = (0.0, 0.2, 1.0)
"""Waits before a write is sent again because the answer was lost, in seconds."""
IF_AWAY = "A change that was under way may or may not have been made; look before you repeat it."

Result = TypeVar("Result")

Operation = Callable[[Any, ModelContractEffect], Awaitable[Any]]
"""Method of a node."""


class PatternEffect:
    """Runs operations, each in one transaction, and never raises.

    An operation checks its arguments before it takes a connection. A single statement is a transaction by itself. A
    subclass states its name and its operations.

    :param pool: an asyncpg pool
    :param acquire_timeout: longest wait for a connection from the pool, in seconds
    :cvar name: of the node, in messages and traces
    :cvar operations: methods by operation
    """

    name: ClassVar[str]
    operations: ClassVar[Mapping[str, Operation]]

    def __init__(self, pool: Any, *, acquire_timeout: float = ACQUIRE_TIMEOUT_SECONDS) -> None:
        self.pool = pool
        self._acquire_timeout = acquire_timeout

    async def execute_effect(self, contract: ModelContractEffect) -> ModelResult:
        """Run one operation.

        :param contract: the operation and its arguments
        :return: the result; a failed operation leaves nothing behind
        """
        begun = time.perf_counter()
        metadata: dict[str, Any] = {"correlation_id": values.plain(contract.correlation_id)}
        try:
            data = await self._operation(contract)(self, contract)
        except Exception as error:
            known = too_large(error) or reason_of(error)
            reason = known or PatternsError(Code.OPERATION_FAILED, f"{type(error).__name__}: {error}")
            metadata |= {"retryable": reason.retryable, "code": str(reason.code)}
            result = ModelResult(False, error=str(reason), metadata=metadata)
            self._log_failure(values.plain(contract.operation), result, None if known else error)
        else:
            metadata["operation"] = contract.operation
            metadata["duration_ms"] = (time.perf_counter() - begun) * 1000
            if isinstance(data, list):
                metadata["result_count"] = len(data)
            result = ModelResult(True, data, metadata=metadata)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%s done, correlation id %s", contract.operation, contract.correlation_id)
        if tracer := track2_integration.active_tracer():
            self._trace(tracer, contract, result, (time.perf_counter() - begun) * 1000)
        return result

    def _connection(self) -> Borrowed:
        """Take a connection from the pool; operations set nothing in its session, so it needs no reset."""
        if self.pool is None:
            raise Refusal("The node has no pool. Await PatternDatabaseManager.initialize() before you build it.")
        return Borrowed(self.pool, self._acquire_timeout, reset=False)

    async def _until_answered(self, work: Callable[[bool], Awaitable[Result]]) -> Result:
        """Do work, and do it again while the connection breaks before the answer.

        :param work: something that changes nothing more when it is done twice; it gets whether it is done again
        """
        for wait in (*REPEAT_WAITS_SECONDS, None):
            try:
                return await work(wait != REPEAT_WAITS_SECONDS[0])
            except Exception as error:
                if wait is None or not _is_lost(error):
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _committed(self, work: Callable[[Any], Awaitable[Result]]) -> Result:
        """Do work in one transaction; if the answer to its COMMIT is lost, find out what became of it.

        :param work: gets the connection; it is done again only if the first transaction was rolled back
        """

        async def attempt(_: bool) -> Result:
            transaction = None
            try:
                async with self._transaction() as connection:
                    result = await work(connection)
                    transaction = await connection.fetchval(statement("learning_transaction"))
            except Exception as error:
                if transaction is None or not _is_lost(error) or not await self._was_committed(transaction):
                    raise
            return result

        return await self._until_answered(attempt)

    async def _was_committed(self, transaction: str) -> bool:
        """Whether a transaction was committed, or rolled back.

        :raises OutageError: it cannot be found out
        """
        for wait in REPEAT_WAITS_SECONDS:
            await asyncio.sleep(wait)
            with suppress(Exception):
                async with self._connection() as connection:
                    end = await connection.fetchval(statement("learning_transaction_end"), transaction)
                if end in ("committed", "aborted"):
                    return bool(end == "committed")
        raise OutageError(Code.POSTGRES_AWAY, f"PostgreSQL went away during the operation. {IF_AWAY}")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        """Take a connection from the pool and open a transaction on it."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    def _operation(self, contract: ModelContractEffect) -> Operation:
        values.identity("correlation_id", contract.correlation_id)
        operation = self.operations.get(contract.operation) if isinstance(contract.operation, str) else None
        if operation is None:
            refuse(
                "Unsupported operation: operation",
                contract.operation,
                f"one of {', '.join(self.operations)} for the {self.name} node",
            )
        return operation

    def _log_failure(self, operation: str, result: ModelResult, fault_of_ours: Exception | None) -> None:
        correlation_id = result.metadata["correlation_id"]
        log.log(
            logging.ERROR if fault_of_ours else logging.WARNING,
            "%s failed, correlation id %s: %s",
            operation,
            correlation_id,
            result.error,
            extra={"correlation_id": correlation_id},
            exc_info=fault_of_ours,
        )

    def _trace(
        self,
        tracer: track2_integration.PatternStorageTracer,
        contract: ModelContractEffect,
        result: ModelResult,
        duration_ms: float,
    ) -> None:
        usage = contract.usage_data if isinstance(contract.usage_data, Mapping) else {}
        pattern_id: Any = contract.pattern_id
        if pattern_id is None and isinstance(result.data, dict):
            pattern_id = result.data.get("pattern_id") or result.data.get("source_pattern_id")
        tracer.record(
            self.pool,
            Trace(
                datetime.now(UTC),
                self.name,
                contract.operation,
                pattern_id,
                result.metadata["correlation_id"],
                result.success,
                duration_ms,
                result.error,
                usage.get("quality_before"),
                usage.get("quality_after"),
            ),
        )


def _is_lost(error: Exception) -> bool:
    fault = diagnose(error)
    return fault is not None and fault.kind is Kind.AWAY


def reason_of(error: Exception) -> PatternsError | None:
    """Return why an operation failed; ``None`` if neither the caller nor PostgreSQL is the cause."""
    if isinstance(error, PatternsError):
        return error
    if isinstance(error, TimeoutError):
        return OutageError(
            Code.POSTGRES_BUSY, "PostgreSQL did not answer within the pool's command_timeout. Try again later."
        )
    fault = diagnose(error)
    return (
        explain(
            fault,
            "PostgreSQL",
            doing="the operation",
            if_away=IF_AWAY,
        )
        if fault
        else None
    )
