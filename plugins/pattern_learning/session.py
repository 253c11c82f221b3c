"""Take a connection from a pool, and give it back, without paying more for that than for a short statement."""

import asyncio
from typing import Any

import asyncpg

from code_patterns.errors import OutageError

ACQUIRE_TIMEOUT_SECONDS = 30.0


class SessionConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg carries no types
    """A connection that knows whether its session has to be reset.

    :ivar untouched: nothing was set in the session since the connection left the pool
    """

    untouched = False

    def get_reset_query(self) -> str:
        """Return the statement that resets the session, or nothing."""
        return "" if self.untouched else str(super().get_reset_query())


class SessionPool(asyncpg.Pool):  # type: ignore[misc] # asyncpg carries no types
    """A pool with a short way for statements that set nothing in the session.

    The pool's own way back resets the session, a round trip, in a task of its own; both together take longer than
    reading one row. Anything else that comes from this pool goes back the long way.
    """

    @property
    def has_free_place(self) -> bool:
        """Whether a connection can be had without waiting for another to come back."""
        return not self._queue.empty()

    async def give_back(self, connection: Any) -> None:
        """Take back a connection whose statements succeeded and set nothing in the session.

        :param connection: from ``acquire``, outside a transaction
        """
        raw = connection._con
        if raw is None:  # it broke, and is out of the pool already
            return
        # As Pool.release does, but without the task that protects a reset from being cancelled: this one waits
        # for nothing, except where asyncpg replaces a connection after 50,000 statements.
        raw.untouched = True
        try:
            raw._on_release()
            await connection._holder.release(None)
        finally:
            raw.untouched = False


class Borrowed:
    """A connection for statements that set nothing in the session, as an asynchronous context.

    :param pool: an asyncpg pool
    :param timeout_seconds: longest wait for a free connection
    """

    def __init__(self, pool: Any, timeout_seconds: float) -> None:
        self._pool = pool
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> Any:
        """Take the connection; errors as in :func:`take`."""
        self._connection = await take(self._pool, self._timeout_seconds)
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None and isinstance(self._pool, SessionPool):
            await self._pool.give_back(self._connection)
        else:
            await self._pool.release(self._connection)


async def take(pool: Any, timeout_seconds: float) -> Any:
    """Take a connection from a pool; give it back with ``pool.release``.

    :raises OutageError: none became free in that time, or the server cannot be reached
    """
    try:
        if isinstance(pool, SessionPool) and pool.has_free_place:
            return await pool.acquire()
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
