"""Trace every operation: a row in ``pattern_learning_traces``, and an OpenTelemetry span if that is configured.

An operation only puts its trace into a queue. A separate task writes the queue on a separate connection. A slow or
broken trace table loses traces, but no operation fails.
"""

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from opentelemetry import trace as telemetry

from pattern_learning import trace_writer, values
from pattern_learning.contract import ModelContractEffect, ModelResult
from pattern_learning.trace_writer import Trace, storable, text

log = logging.getLogger(__name__)

CALLER = "caller"
"""Node of a trace that a caller makes itself."""


class PatternStorageTracer:
    """Traces operations: those of the nodes by itself, others by its methods ``trace_...``.

    Traces of a node go into the database of its pool. Traces of the methods go into that of the pool which a manager
    opened last in this event loop, or else into the one that a new manager would take. None of the methods raises.

    :ivar enabled: whether operations are traced
    :ivar actor: name in the traces; ``None`` means the database role
    """

    def __init__(self, actor: str | None = None) -> None:
        self.enabled = True
        self.actor = actor

    async def initialize(self) -> bool:
        """Return whether operations are traced; the connection is opened with the first trace."""
        return self.enabled

    def record(self, pool: Any, trace: Trace) -> None:
        """Queue a trace; returns at once and raises nothing.

        :param pool: pool of the operation
        :param trace: the trace
        """
        try:
            if pool is not None:
                trace_writer.writer_of(pool).put(self.actor, trace)
            _emit_span(trace, self.actor, {})
        except Exception as error:
            log.warning("An operation was not traced in full: %s", error)

    async def flush(self) -> None:
        """Wait until every queued trace is written or given up."""
        await trace_writer.flush()

    async def trace_pattern_operation(
        self,
        operation: str,
        pattern_id: Any,
        correlation_id: Any,
        success: bool,
        duration_ms: float,
        metadata: Mapping[str, Any] | None = None,
    ) -> Any:
        """Trace an operation of the caller's own, and wait until the trace is written.

        :param operation: its name
        :param pattern_id: its template, if it has one
        :param correlation_id: id of the request
        :param success: whether it succeeded
        :param duration_ms: how long it took
        :param metadata: ``error``, ``quality_before`` and ``quality_after`` go into their columns, everything into the
            span
        :return: the correlation id by which the trace is found: a UUID if it is one, else the text that was stored;
            ``None`` if nothing was written
        """
        if not self.enabled:
            return None
        try:
            further = dict(metadata or {})
            error = further.get("error")
            trace = Trace(
                datetime.now(UTC),
                CALLER,
                operation,
                pattern_id,
                values.plain(correlation_id),
                bool(success),
                float(duration_ms),
                None if error is None or success else values.plain(error),
                further.get("quality_before"),
                further.get("quality_after"),
            )
            _emit_span(trace, self.actor, further)
            writer = trace_writer.writer_of(trace_writer.newest_pool())
            lost = writer.lost
            writer.put(self.actor, trace)
            await writer.flush()
            text = storable(trace).correlation_id
            stored: UUID | str = text
            with suppress(ValueError):
                stored = UUID(text)
            return stored if writer.lost == lost else None
        except Exception as error:
            log.warning("An operation was not traced in full: %s", error)
            return None

    async def trace_pattern_usage(
        self,
        pattern_id: Any,
        file_path: str | None,
        correlation_id: Any,
        quality_before: float | None,
        quality_after: float | None,
        success: bool,
        execution_time_ms: float,
    ) -> Any:
        """Trace the use of a template; see :meth:`trace_pattern_operation`.

        This is a trace only. The operation ``record_usage`` stores the use itself.

        :param file_path: where it was used
        :param quality_before: quality of the code before
        :param quality_after: quality of the code after
        :param execution_time_ms: how long it took
        """
        further = {"file_path": file_path, "quality_before": quality_before, "quality_after": quality_after}
        return await self.trace_pattern_operation(
            "pattern_usage", pattern_id, correlation_id, success, execution_time_ms, further
        )

    async def trace_analytics_computation(
        self,
        period_start: Any,
        period_end: Any,
        pattern_id: Any,
        correlation_id: Any,
        result_count: int,
        computation_time_ms: float,
    ) -> Any:
        """Trace a computation over a period; see :meth:`trace_pattern_operation`.

        :param period_start: begin of the period
        :param period_end: its end
        :param pattern_id: template, or ``None`` for all
        :param result_count: number of results
        :param computation_time_ms: how long it took
        """
        further = {"period_start": period_start, "period_end": period_end, "result_count": result_count}
        return await self.trace_pattern_operation(
            "analytics_computation", pattern_id, correlation_id, True, computation_time_ms, further
        )


class trace_operation:  # noqa: N801 -- a published name, used as a function and as a decorator
    """Trace an operation with the tracer of this process.

    ``await trace_operation("insert", pattern_id, correlation_id, success, duration_ms)`` traces what is done already.
    ``@trace_operation("insert")`` before an ``async def`` traces each of its calls: how long it took, and whether it
    raised or returned a failed :class:`ModelResult`. Template and request are taken from an argument that is a
    :class:`ModelContractEffect`, or from the arguments ``pattern_id`` and ``correlation_id``.

    :param operation: name of the operation
    """

    def __init__(
        self,
        operation: str,
        pattern_id: Any = None,
        correlation_id: Any = None,
        success: bool = True,
        duration_ms: float = 0.0,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._operation = operation
        self._done = (pattern_id, correlation_id, success, duration_ms, metadata)

    def __await__(self) -> Generator[Any, Any, Any]:
        """Trace what is done already."""
        return self._trace(*self._done).__await__()

    def __call__(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Trace each call of a function."""

        @functools.wraps(function)
        async def traced(*arguments: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            given = (*arguments, *named.values())
            contract = next((each for each in given if isinstance(each, ModelContractEffect)), None)
            pattern_id = contract.pattern_id if contract else named.get("pattern_id")
            correlation_id = contract.correlation_id if contract else named.get("correlation_id")

            async def trace(failure: Any) -> None:
                took = (time.perf_counter() - begun) * 1000
                await self._trace(pattern_id, correlation_id, failure is None, took, {"error": failure})

            try:
                result = await function(*arguments, **named)
            except Exception as error:
                await trace(str(error) or type(error).__name__)
                raise
            failed = isinstance(result, ModelResult) and not result.success
            await trace(result.error or "failed" if failed else None)
            return result

        return traced

    async def _trace(self, pattern_id: Any, correlation_id: Any, *further: Any) -> Any:
        tracer = await get_pattern_tracer()
        request = ModelContractEffect(self._operation).correlation_id if correlation_id is None else correlation_id
        return await tracer.trace_pattern_operation(self._operation, pattern_id, request, *further)


def _emit_span(trace: Trace, actor: str | None, further: Mapping[str, Any]) -> None:
    if isinstance(telemetry.get_tracer_provider(), telemetry.ProxyTracerProvider):
        return
    end = int(trace.recorded_at.timestamp() * 1e9)
    trace = storable(trace)
    attributes: dict[str, Any] = {
        # Spans too are exported many at once, and one that is no UTF-8 spoils the others.
        **{
            text(f"pattern_learning.{name}"): None if value is None else text(value, None)
            for name, value in further.items()
        },
        "db.system.name": "postgresql",
        "pattern_learning.node": trace.node,
        "pattern_learning.correlation_id": trace.correlation_id,
        "pattern_learning.pattern_id": str(trace.pattern_id) if trace.pattern_id else None,
        "pattern_learning.quality_before": trace.quality_before,
        "pattern_learning.quality_after": trace.quality_after,
        "pattern_learning.actor": None if actor is None else text(actor),
    }
    span = telemetry.get_tracer("pattern_learning").start_span(
        f"pattern_learning.{trace.operation}",
        kind=telemetry.SpanKind.CLIENT,
        start_time=end - int(trace.duration_ms * 1e6),
        attributes={name: value for name, value in attributes.items() if value is not None},
    )
    if not trace.success:
        span.set_status(telemetry.Status(telemetry.StatusCode.ERROR, trace.error))
    span.end(end)


_tracer: PatternStorageTracer | None = None


async def get_pattern_tracer(actor: str | None = None) -> PatternStorageTracer:
    """Return the tracer of this process; the first call starts tracing.

    :param actor: name in the traces from now on; ``None`` keeps the present one
    """
    global _tracer
    if _tracer is None:
        _tracer = PatternStorageTracer()
    if actor is not None:
        _tracer.actor = actor
    return _tracer


def active_tracer() -> PatternStorageTracer | None:
    """Return the tracer if it is enabled."""
    return _tracer if _tracer is not None and _tracer.enabled else None
