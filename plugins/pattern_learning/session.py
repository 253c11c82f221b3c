"""Take a connection from a pool, and give it back, without paying more for that than for a short statement."""

import asyncio
import logging
from typing import Any, NamedTuple

import asyncpg

from code_patterns.errors import OutageError

log = logging.getLogger(__name__)

ACQUIRE_TIMEOUT_SECONDS = 30.0

LEASE_SECONDS = 0.1
"""How long a connection may stay out of its pool: what another user of a full pool waits at most for an idle one."""


class Lease(NamedTuple):
    """A connection on loan.

    :param connection: from the pool
    :param until: when it has to go back, in seconds of the event loop's clock
    """

    connection: Any
    until: float


class Leases:
    """Connections that stay out of their pool from one operation to the next.

    asyncpg resets the session of every connection that comes back, a round trip in a task of its own; both together
    take longer than reading one row. The storage layer's statements set nothing in the session, so its next operation
    takes the connection as it is.

    :param pool: an asyncpg pool
    """

    def __init__(self, pool: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.pool = pool
        self._idle: list[Lease] = []
        # As many places as the pool has connections, so that operations wait for one another here and not for the
        # pool. Every lease has one; those in the queue are free, with a connection for whoever waits, or with None
        # where the pool has to be asked for one.
        self._places: asyncio.LifoQueue[Lease | None] = asyncio.LifoQueue()
        for _ in range(pool.get_max_size()):
            self._places.put_nowait(None)
        self._waiting = 0
        self._handed_on = 0
        self._asking = 0
        self._timer: asyncio.TimerHandle | None = None
        self._returning: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections on loan that nobody uses: kept, handed on to who waits, or on their way back."""
        return len(self._idle) + self._handed_on + len(self._returning)

    def take_idle(self) -> Lease | None:
        """Take a connection that nobody uses; ``None`` where there is none and :meth:`take` has to be awaited."""
        while self._idle:
            lease = self._idle.pop()
            if not lease.connection.is_closed():
                return lease
            self._send_back(lease)
        return None

    async def take(self, timeout_seconds: float) -> Lease:
        """Wait for a connection.

        :raises OutageError: none became free in that time, or the server cannot be reached
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                self._waiting += 1
                try:
                    place = await self._places.get()
                finally:
                    self._waiting -= 1
                if place is not None:
                    self._handed_on -= 1
                return await self._fill(place)
        except (TimeoutError, OSError, asyncpg.PostgresError) as error:
            raise _unavailable(self.pool, timeout_seconds, error) from None

    def keep(self, lease: Lease) -> bool:
        """Keep a connection whose statements succeeded and set nothing in the session.

        :return: false where it is time to give it back
        """
        if self._asking or self._closed or self.loop.time() >= lease.until:
            return False
        if self._waiting:
            self._places.put_nowait(lease)
            self._handed_on += 1
        else:
            self._idle.append(lease)
        if self._timer is None:
            self._timer = self.loop.call_later(LEASE_SECONDS, self._end)
        return True

    async def give_back(self, lease: Lease) -> None:
        """Give a connection back to the pool, which resets its session."""
        try:
            await self.pool.release(lease.connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            # The pool drops it and opens another when one is wanted; what ran on it has ended already.
            log.debug("A connection broke on its way back to the pool: %s", error)
        finally:
            self._places.put_nowait(None)

    async def close(self) -> None:
        """Return what is idle to the pool, now and from now on."""
        self._closed = True
        self._end()
        await asyncio.gather(*self._returning)

    async def _fill(self, place: Lease | None) -> Lease:
        if place is not None and not place.connection.is_closed():
            return place
        self._asking += 1
        try:
            if place is not None:
                await self.pool.release(place.connection)
            return Lease(await self.pool.acquire(), self.loop.time() + LEASE_SECONDS)
        except BaseException:
            self._places.put_nowait(None)
            raise
        finally:
            self._asking -= 1

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Whoever a connection was put into the queue for may have given up.
        free = [self._places.get_nowait() for _ in range(self._places.qsize())]
        self._handed_on = 0
        for place in (*free, *self._idle):
            if place is None:
                self._places.put_nowait(None)
            else:
                self._send_back(place)
        self._idle.clear()

    def _send_back(self, lease: Lease) -> None:
        task = self.loop.create_task(self.give_back(lease))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)


class Borrowed:
    """A connection for a while, as an asynchronous context.

    :param pool: an asyncpg pool; from one that :func:`lend` knows the connection is taken in less time
    :param timeout_seconds: longest wait for a free connection
    :param reset: whether the statements may set something in the session that has to go when it is given back
    """

    def __init__(self, pool: Any, timeout_seconds: float, *, reset: bool = False) -> None:
        self._pool = pool
        self._timeout_seconds = timeout_seconds
        self._reset = reset
        self._leases = _leases.get(id(pool))

    async def __aenter__(self) -> Any:
        """Take the connection.

        :raises OutageError: none became free in that time, or the server cannot be reached
        """
        if self._leases is not None:
            self._lease = self._leases.take_idle() or await self._leases.take(self._timeout_seconds)
            return self._lease.connection
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._connection = await self._pool.acquire()
        except (TimeoutError, OSError, asyncpg.PostgresError) as error:
            raise _unavailable(self._pool, self._timeout_seconds, error) from None
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._leases is None:
            await self._pool.release(self._connection)
        elif kind is not None or self._reset or not self._leases.keep(self._lease):
            await self._leases.give_back(self._lease)


_leases: dict[int, Leases] = {}


def lend(pool: Any) -> None:
    """Let the storage layer keep connections of a pool out of it between operations, until :func:`end_leases`.

    :param pool: an asyncpg pool
    """
    for key, known in list(_leases.items()):
        if known.loop.is_closed():
            del _leases[key]
    # The entry holds the pool, so that no other one can come to have its id.
    _leases[id(pool)] = Leases(pool)


async def end_leases(pool: Any) -> None:
    """Return what is on loan, before the pool is closed."""
    if leases := _leases.pop(id(pool), None):
        await leases.close()


def idle_leases(pool: Any) -> int:
    """Return how many connections of a pool are on loan and not in use."""
    leases = _leases.get(id(pool))
    return leases.idle if leases else 0


def _unavailable(pool: Any, timeout_seconds: float, error: Exception) -> OutageError:
    if isinstance(error, TimeoutError):
        return OutageError(
            f"No connection became free within {timeout_seconds:g} s: all {pool.get_size()} of the pool (at most "
            f"{pool.get_max_size()}) are in use or cannot be opened. Nothing was done; try again, or give the pool a "
            "larger max_pool_size."
        )
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return OutageError(f"PostgreSQL cannot be reached: {reason}. Nothing was done; try again.")
