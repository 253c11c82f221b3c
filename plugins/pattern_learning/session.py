"""Take a connection from a pool, and give it back, without paying more for that than for a short statement."""

import asyncio
from typing import Any

import asyncpg

from code_patterns.errors import OutageError

ACQUIRE_TIMEOUT_SECONDS = 30.0


class SessionPool(asyncpg.Pool):  # type: ignore[misc] # asyncpg carries no types
    """A pool with a short way for statements that set nothing in the session.

    The pool's own way back resets the session, a round trip, in a task of its own; both together take longer than
    reading one row. Anything else that comes from this pool goes back the long way.
    """

    @property
    def has_free_place(self) -> bool:
        """Whether a connection can be had without waiting for another to come back."""
        return not self._queue.empty()

    def put_back(self, connection: Any) -> bool:
        """Take back a connection whose statements succeeded and set nothing in the session.

        This is what asyncpg 0.32 does at the end of ``Pool.release``, without the reset before it.

        :param connection: from ``acquire``
        :return: false where the connection needs more than that and has to be released
        """
        raw, holder = connection._con, connection._holder
        if (
            raw is None
            or raw.is_closed()
            or raw.is_in_transaction()
            or raw._protocol._is_cancelling()
            or raw._protocol.queries_count >= holder._max_queries
            or holder._generation != self._generation
        ):
            return False
        raw._on_release()
        holder._timeout = None
        holder._release()
        holder._setup_inactive_callback()
        return True


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
        pool = self._pool
        if kind is not None or not isinstance(pool, SessionPool) or not pool.put_back(self._connection):
            await pool.release(self._connection)


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
