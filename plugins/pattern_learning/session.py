"""Take a connection from a pool for statements that leave no traces in the session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import asyncpg

from code_patterns.errors import OutageError

ACQUIRE_TIMEOUT_SECONDS = 30.0

_leaves_no_trace: ContextVar[bool] = ContextVar("leaves_no_trace", default=False)


class SessionConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg carries no types
    """A connection that is reset on its way back to the pool only if somebody may have changed its session.

    The reset is a round trip of its own, and would double the time of a short statement.
    """

    def get_reset_query(self) -> str:
        """Return the statement that resets the session, or nothing."""
        return "" if _leaves_no_trace.get() else str(super().get_reset_query())


@asynccontextmanager
async def borrow(pool: Any, timeout_seconds: float) -> AsyncIterator[Any]:
    """Take a connection for statements that set nothing in the session, and give it back.

    :param pool: an asyncpg pool
    :param timeout_seconds: longest wait for a free connection
    :raises OutageError: as in :func:`take`
    """
    token = _leaves_no_trace.set(True)
    try:
        connection = await take(pool, timeout_seconds)
        try:
            yield connection
        finally:
            await pool.release(connection)
    finally:
        _leaves_no_trace.reset(token)


async def take(pool: Any, timeout_seconds: float) -> Any:
    """Take a connection from a pool; give it back with ``pool.release``.

    :raises OutageError: none became free in that time, or the server cannot be reached
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await pool.acquire()
    except TimeoutError:
        raise OutageError(
            f"No connection became free within {timeout_seconds:g} s: all {pool.get_size()} of the pool (at most "
            f"{pool.get_max_size()}) are in use or cannot be opened. Nothing was done; try again, or give the pool a "
            "larger max_pool_size."
        ) from None
    except (OSError, asyncpg.PostgresError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise OutageError(f"PostgreSQL cannot be reached: {reason}. Nothing was done; try again.") from None
