"""Trace every operation: a row in ``pattern_learning_traces``, and an OpenTelemetry span if that is configured.

An operation only puts its trace into a queue. A separate task writes the queue on a separate connection. A slow or
broken trace table loses traces, but no operation fails.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

from opentelemetry import trace as telemetry

from pattern_learning import values
from pattern_learning.values import Refusal

log = logging.getLogger(__name__)

QUEUE_LENGTH = 10_000
"""Most traces that wait to be written; more are dropped and counted."""

LINGER_SECONDS = 0.2
BATCH = 1000
WRITE_TIMEOUT_SECONDS = 10.0
_WARN_SECONDS = 60.0
_LONGEST_ERROR = 2000

Connect = Callable[[], Awaitable[Any]]


class Trace(NamedTuple):
    """One operation; the fields are columns of ``pattern_learning_traces``, the values as the caller gave them.

    :param recorded_at: end of the operation
    :param node: name of the node
    :param operation: name of the operation
    :param pattern_id: its template, if it has one
    :param correlation_id: id of the request
    :param success: whether it succeeded
    :param duration_ms: how long it took
    :param error: why it failed
    :param quality_before: of a recorded use
    :param quality_after: of a recorded use
    """

    recorded_at: datetime
    node: str
    operation: Any
    pattern_id: Any
    correlation_id: str
    success: bool
    duration_ms: float
    error: str | None
    quality_before: Any
    quality_after: Any


class _Beside(NamedTuple):
    """How to connect to a pool's database without the pool. It holds the pool, so that no other gets its id."""

    pool: Any
    loop: asyncio.AbstractEventLoop
    connect: Connect


class PatternTracer:
    """Traces the operations of all nodes of this process, each into the database of its pool.

    :ivar enabled: whether operations are traced
    :ivar actor: name in the traces; ``None`` means the database role
    """

    def __init__(self, actor: str | None = None) -> None:
        self.enabled = True
        self.actor = actor
        self._writers: dict[int, _Writer] = {}

    def record(self, pool: Any, trace: Trace) -> None:
        """Queue a trace; returns at once and raises nothing.

        :param pool: pool of the operation
        :param trace: the trace
        """
        try:
            if pool is not None:
                self._writer(pool).put(self.actor, trace)
            _emit_span(trace, self.actor)
        except Exception as error:
            log.warning("An operation was not traced in full: %s", error)

    async def flush(self) -> None:
        """Wait until every queued trace is written or given up."""
        loop = asyncio.get_running_loop()
        for writer in list(self._writers.values()):
            if writer.loop is loop:
                await writer.flush()

    async def detach(self, pool: Any) -> None:
        """Write the traces that wait for a pool's database, and forget the pool."""
        writer = self._writers.pop(id(pool), None)
        if writer and writer.loop is asyncio.get_running_loop():
            await writer.close()

    def _writer(self, pool: Any) -> "_Writer":
        loop = asyncio.get_running_loop()
        writer = self._writers.get(id(pool))
        if writer is None or writer.pool is not pool or writer.loop is not loop:
            # Otherwise pools of ended event loops would stay here for ever.
            self._writers = {key: kept for key, kept in self._writers.items() if not kept.loop.is_closed()}
            writer = self._writers[id(pool)] = _Writer(loop, pool)
        return writer


class _Writer:
    """Writes the traces of one database."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Any) -> None:
        self.loop = loop
        self.pool = pool
        self._queue: deque[tuple[str | None, Trace]] = deque()
        self._connection: Any = None
        self._dropped = 0
        self._next_warning = 0.0
        self._writing = asyncio.Lock()
        self._waiting = asyncio.Event()
        self._task = loop.create_task(self._run(), name="pattern_learning traces")

    def put(self, actor: str | None, trace: Trace) -> None:
        if len(self._queue) >= QUEUE_LENGTH:
            self._drop(1, "they come faster than they can be written")
            return
        self._queue.append((actor, trace))
        self._waiting.set()

    async def flush(self) -> None:
        async with self._writing:
            await self._write_queue()

    async def close(self) -> None:
        """Write the waiting traces and stop."""
        await self.flush()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        try:
            while True:
                await self._waiting.wait()
                await asyncio.sleep(LINGER_SECONDS)
                self._waiting.clear()
                await self.flush()
        finally:
            # This also runs when the event loop ends, which waits for the tasks that it cancels.
            await self.flush()
            if self._connection is not None:
                self._connection.terminate()

    async def _write_queue(self) -> None:
        while self._queue:
            actor, same = next(groupby(islice(self._queue, BATCH), key=itemgetter(0)))
            batch = [trace for _, trace in same]
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                    await self._write(actor, batch)
            except Exception as error:
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
                self._drop(len(batch), str(error) or type(error).__name__)
            # Not before: a write that is cancelled halfway is repeated by the last flush.
            for _ in batch:
                self._queue.popleft()

    async def _write(self, actor: str | None, batch: list[Trace]) -> None:
        beside = _beside.get(id(self.pool))
        if beside is None:
            async with self.pool.acquire() as connection:
                await _copy(connection, actor, batch)
            return
        if self._connection is None or self._connection.is_closed():
            self._connection = await beside.connect()
        await _copy(self._connection, actor, batch)

    def _drop(self, count: int, reason: str) -> None:
        self._dropped += count
        if time.monotonic() >= self._next_warning:
            self._next_warning = time.monotonic() + _WARN_SECONDS
            log.warning(
                "%d traces were not written: %s. The operations themselves are not affected; where the table "
                "pattern_learning_traces is missing, run schema_migration.",
                self._dropped,
                reason,
            )
            self._dropped = 0


async def _copy(connection: Any, actor: str | None, batch: list[Trace]) -> None:
    columns = list(Trace._fields)
    records: list[Any] = [_storable(trace) for trace in batch]
    if actor is not None:
        columns.append("actor")
        records = [(*record, actor) for record in records]
    await connection.copy_records_to_table("pattern_learning_traces", records=records, columns=columns)


def _storable(trace: Trace) -> Trace:
    """Return a trace in a form that the table can hold: callers may give anything."""
    return trace._replace(
        operation=str(trace.operation),
        pattern_id=_or_none(values.identity, trace.pattern_id),
        error=trace.error and trace.error[:_LONGEST_ERROR],
        quality_before=_or_none(values.number, trace.quality_before),
        quality_after=_or_none(values.number, trace.quality_after),
    )


def _or_none(parse: Callable[[str, Any], Any], value: Any) -> Any:
    try:
        return None if value is None else parse("", value)
    except Refusal:
        return None


def _emit_span(trace: Trace, actor: str | None) -> None:
    if isinstance(telemetry.get_tracer_provider(), telemetry.ProxyTracerProvider):
        return
    end = int(trace.recorded_at.timestamp() * 1e9)
    trace = _storable(trace)
    attributes: dict[str, Any] = {
        "db.system.name": "postgresql",
        "pattern_learning.node": trace.node,
        "pattern_learning.correlation_id": trace.correlation_id,
        "pattern_learning.pattern_id": str(trace.pattern_id) if trace.pattern_id else None,
        "pattern_learning.quality_before": trace.quality_before,
        "pattern_learning.quality_after": trace.quality_after,
        "pattern_learning.actor": actor,
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


_tracer: PatternTracer | None = None
_beside: dict[int, _Beside] = {}


async def get_pattern_tracer(actor: str | None = None) -> PatternTracer:
    """Return the tracer of this process; the first call starts tracing.

    :param actor: name in the traces from now on; ``None`` keeps the present one
    """
    global _tracer
    if _tracer is None:
        _tracer = PatternTracer()
    if actor is not None:
        _tracer.actor = actor
    return _tracer


def active_tracer() -> PatternTracer | None:
    """Return the tracer if it is enabled."""
    return _tracer if _tracer is not None and _tracer.enabled else None


def attach(pool: Any, connect: Connect) -> None:
    """Register how to connect to a pool's database without the pool.

    :param pool: an asyncpg pool
    :param connect: opens a connection
    """
    for key, beside in list(_beside.items()):
        if beside.loop.is_closed():
            del _beside[key]
    _beside[id(pool)] = _Beside(pool, asyncio.get_running_loop(), connect)


async def detach(pool: Any) -> None:
    """Write the traces that wait for a pool's database, before the pool is closed."""
    if _tracer is not None:
        await _tracer.detach(pool)
    _beside.pop(id(pool), None)
