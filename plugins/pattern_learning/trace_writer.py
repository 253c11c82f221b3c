"""Write traces into ``pattern_learning_traces``, on a connection of their own and some time after the operation."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_asyncpg import connect_asyncpg
from code_patterns.servers.postgres_errors import Kind, diagnose
from code_patterns.sql import storable as storable_text
from pattern_learning import values
from pattern_learning.database_choice import choose_database
from pattern_learning.statements import statement

log = logging.getLogger(__name__)

QUEUE_LENGTH = 10_000
"""Most traces that wait to be written; more are dropped and counted."""

LINGER_SECONDS = 0.2
BATCH = 1000
WRITE_TIMEOUT_SECONDS = 10.0
_WARN_SECONDS = 60.0
_LONGEST = 2000
# An entry of an index holds 2,704 bytes, and a character takes up to four.
_LONGEST_INDEXED = 500
_SETTINGS = {
    "application_name": "pattern_learning",
    # Traces do not wait for the disk, on which the operations themselves wait. In return a crash of the server may
    # lose the traces of its last second.
    "synchronous_commit": "off",
}

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


_beside: dict[int, _Beside] = {}


def attach(pool: Any, config: PostgresConfig) -> None:
    """Register how to connect to a pool's database without the pool.

    :param pool: an asyncpg pool
    :param config: its database
    """
    for key, beside in list(_beside.items()):
        if beside.loop.is_closed():
            del _beside[key]
    _beside[id(pool)] = _Beside(pool, asyncio.get_running_loop(), partial(_connect, config))


async def detach(pool: Any) -> None:
    """Write the traces that wait for a pool's database, before the pool is closed, and forget the pool."""
    writer = _writers.pop(id(pool), None)
    if writer and writer.loop is asyncio.get_running_loop():
        await writer.close()
    _beside.pop(id(pool), None)


def newest_pool() -> Any:
    """The pool that was attached last in the running event loop; ``None`` without one."""
    loop = asyncio.get_running_loop()
    return next((beside.pool for beside in reversed(_beside.values()) if beside.loop is loop), None)


class TraceWriter:
    """Queues the traces of one database, and writes them.

    :param loop: the running event loop
    :param pool: an asyncpg pool; ``None`` takes the database that the environment or Airflow names
    :ivar lost: traces that could not be written
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Any) -> None:
        self.loop = loop
        self.pool = pool
        self._queue: deque[tuple[str | None, Trace]] = deque()
        self._connection: Any = None
        self._begun = 0
        self.lost = 0
        self._untold = 0
        self._next_warning = 0.0
        self._writing = asyncio.Lock()
        self._waiting = asyncio.Event()
        self._task = loop.create_task(self._run(), name="pattern_learning traces")

    def put(self, actor: str | None, trace: Trace) -> None:
        """Queue a trace."""
        if len(self._queue) >= QUEUE_LENGTH:
            self._drop(1, "they come faster than they can be written")
            return
        self._queue.append((actor, trace))
        self._waiting.set()

    async def flush(self) -> None:
        """Write all that waits."""
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
        most = BATCH
        while self._queue:
            # A write that was cancelled may have been made: the same traces are looked for first.
            again = bool(self._begun)
            actor, same = next(groupby(islice(self._queue, self._begun or most), key=itemgetter(0)))
            batch = [trace for _, trace in same]
            self._begun = len(batch)
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_SECONDS), self._session() as connection:
                    if not again or not await _is_there(connection, batch[0]):
                        await _copy(connection, actor, batch)
            except Exception as error:
                if len(batch) > 1 and _is_of_one(error):
                    most, self._begun = len(batch) // 2, 0
                    continue
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
                self._drop(len(batch), str(error) or type(error).__name__, _remedy(error))
            most, self._begun = min(2 * most, BATCH), 0
            # Not before: a write that is cancelled halfway is repeated by the last flush.
            for _ in batch:
                self._queue.popleft()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Any]:
        beside = _beside.get(id(self.pool))
        if beside is None and self.pool is not None:
            async with self.pool.acquire() as connection:
                yield connection
            return
        if self._connection is None or self._connection.is_closed():
            self._connection = await (beside.connect() if beside else _connect(await choose_database(None)))
        yield self._connection

    def _drop(self, count: int, reason: str, remedy: str = "") -> None:
        self.lost += count
        self._untold += count
        if time.monotonic() >= self._next_warning:
            self._next_warning = time.monotonic() + _WARN_SECONDS
            log.warning(
                "%d traces were not written: %s. The operations themselves are not affected.%s",
                self._untold,
                reason.rstrip("."),
                remedy,
            )
            self._untold = 0


_writers: dict[int, TraceWriter] = {}


def writer_of(pool: Any) -> TraceWriter:
    """Return the writer of a database in the running event loop.

    :param pool: see :class:`TraceWriter`
    """
    global _writers
    loop = asyncio.get_running_loop()
    writer = _writers.get(id(pool))
    if writer is None or writer.pool is not pool or writer.loop is not loop:
        # Otherwise pools of ended event loops would stay here for ever.
        _writers = {key: kept for key, kept in _writers.items() if not kept.loop.is_closed()}
        writer = _writers[id(pool)] = TraceWriter(loop, pool)
    return writer


async def flush() -> None:
    """Wait until every queued trace of the running event loop is written or given up."""
    loop = asyncio.get_running_loop()
    for writer in list(_writers.values()):
        if writer.loop is loop:
            await writer.flush()


async def _connect(config: PostgresConfig) -> Any:
    return await connect_asyncpg(config, _SETTINGS)


async def _copy(connection: Any, actor: str | None, batch: list[Trace]) -> None:
    columns = list(Trace._fields)
    records: list[Any] = [storable(trace) for trace in batch]
    if actor is not None:
        columns.append("actor")
        records = [(*record, text(actor)) for record in records]
    await connection.copy_records_to_table("pattern_learning_traces", records=records, columns=columns)


async def _is_there(connection: Any, trace: Trace) -> bool:
    """Whether a batch that begins with this trace is written: one COPY writes all of it or nothing."""
    found = storable(trace)
    return bool(
        await connection.fetchval(
            statement("learning_trace_there"),
            found.correlation_id,
            found.recorded_at,
            found.node,
            found.operation,
            found.duration_ms,
        )
    )


def _is_of_one(error: Exception) -> bool:
    """Whether PostgreSQL or asyncpg took offence at a value, such as one that the database's encoding lacks."""
    return str(getattr(error, "sqlstate", None))[:2] in ("22", "54")


def _remedy(error: Exception) -> str:
    fault = diagnose(error)
    if fault is None or fault.kind is not Kind.INCOMPLETE:
        return ""
    return " To get the table pattern_learning_traces as it must be, run schema_migration."


def storable(trace: Trace) -> Trace:
    """Return a trace in a form that the table can hold: callers may give anything."""
    return trace._replace(
        operation=text(trace.operation),
        pattern_id=_or_none(values.identity, trace.pattern_id),
        correlation_id=text(trace.correlation_id, _LONGEST_INDEXED),
        error=trace.error and text(trace.error),
        quality_before=_or_none(values.number, trace.quality_before),
        quality_after=_or_none(values.number, trace.quality_after),
    )


def text(value: Any, longest: int | None = _LONGEST) -> str:
    """Return the text of anything as PostgreSQL and OpenTelemetry can hold it.

    :param longest: most characters; ``None`` for all
    """
    return storable_text(values.plain(value), longest)


def _or_none(parse: Callable[[str, Any], Any], value: Any) -> Any:
    try:
        return None if value is None else parse("", value)
    except Exception:
        # Not only refusals: a value may fail when it is asked for its number.
        return None
