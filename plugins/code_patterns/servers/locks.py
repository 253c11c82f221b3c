"""Advisory locks in PostgreSQL, by which runs keep others out, and the session that holds them.

A lock ends with its session, so a killed run leaves none behind.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from code_patterns.codes import Code
from code_patterns.errors import OutageError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import database_errors
from code_patterns.servers.postgres_psycopg import connect
from code_patterns.sql import query

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
NOTICE_SECONDS = 60.0
"""How often a waiting run logs which session it waits for."""

Rows = list[tuple[Any, ...]]
Steps = Generator[str | float, Rows | None, None]
"""Steps for a blocking or an asynchronous connection: each yields a query, and gets its rows, or seconds to sleep."""


@dataclass(frozen=True)
class Lock:
    """An advisory lock of a PostgreSQL session, known to one database.

    :param space: kind of thing that is locked
    :param key: which one
    :param holder: who takes such locks, for messages, such as "sync run"
    :param subject: what is locked, for messages, such as "'code_patterns'"
    :param shared: whether others may hold it at the same time, shared too
    """

    space: str
    key: str
    holder: str
    subject: str
    shared: bool = False


class LockedSession:
    """A connection whose session holds a run's locks. When it dies, the run can write nothing more.

    :param config: the database
    :param connection: an open connection in autocommit mode
    """

    def __init__(self, config: PostgresConfig, connection: psycopg.AsyncConnection) -> None:
        self._config = config
        self._connection = connection
        self._locks: tuple[Lock, ...] = ()

    @classmethod
    @asynccontextmanager
    async def open(cls, config: PostgresConfig) -> AsyncIterator["LockedSession"]:
        """Connect; nothing is locked yet."""
        async with await connect(config, autocommit=True) as connection:
            yield cls(config, connection)

    async def take(self, *locks: Lock) -> None:
        """Take locks one after the other; wait as long as others hold them."""
        self._locks = (*self._locks, *locks)
        async with database_errors(self._config, self._connection):
            for lock in locks:
                await take(self._connection, lock)

    async def take_at_once(self, lock: Lock) -> bool:
        """Take a lock if no other session holds it; return whether that is so."""
        [(taken,)] = await self.fetch("lock_try", **asdict(lock))
        if taken:
            self._locks = (*self._locks, lock)
        return bool(taken)

    async def release(self, lock: Lock) -> None:
        """Give a lock back; the session goes on."""
        self._locks = tuple(held for held in self._locks if held != lock)
        await self.execute("lock_release", **asdict(lock))

    async def is_wanted(self, lock: Lock) -> bool:
        """Whether another session waits for a lock."""
        [(wanted,)] = await self.fetch("lock_wanted", **asdict(lock))
        return bool(wanted)

    async def assert_held(self) -> None:
        """Check that the session still holds its locks; called before every write to Qdrant.

        A run that lost its session could otherwise overwrite what the next run has written.

        :raises OutageError: the session, or one of its locks, is gone
        """
        for lock in self._locks:
            if not (await self.fetch("lock_held", **asdict(lock)))[0][0]:
                raise OutageError(
                    Code.POOLER_IN_THE_WAY,
                    f"The session of {self._config.address} that held the lock on {lock.subject} was exchanged for "
                    "another one, as poolers in transaction mode do. Connect to PostgreSQL itself; the next try goes "
                    "on from there.",
                )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Run the statements inside as one transaction."""
        async with database_errors(self._config, self._connection), self._connection.transaction():
            yield

    async def execute(self, name: str, /, **parameters: Any) -> None:
        """Run the query of this name."""
        async with database_errors(self._config, self._connection):
            await self._connection.execute(query(name), parameters)

    async def fetch(self, name: str, /, **parameters: Any) -> Rows:
        """Run the query of this name and return its rows."""
        async with database_errors(self._config, self._connection):
            cursor = await self._connection.execute(query(name), parameters)
            return await cursor.fetchall()


async def take(connection: psycopg.AsyncConnection, lock: Lock, patience: float = math.inf) -> None:
    """Take a lock, and log which session it waits for.

    :param connection: an open connection in autocommit mode
    :param patience: most seconds to wait
    :raises OutageError: another session held the lock for longer than that
    """
    steps, rows = _taking(lock, patience), None
    with suppress(StopIteration):
        while True:
            step = steps.send(rows)
            if isinstance(step, str):
                rows = await (await connection.execute(query(step), asdict(lock))).fetchall()
            else:
                await asyncio.sleep(step)


def take_blocking(connection: psycopg.Connection[Any], lock: Lock, patience: float = math.inf) -> None:
    """Take a lock in code without an event loop; see :func:`take`."""
    steps, rows = _taking(lock, patience), None
    with suppress(StopIteration):
        while True:
            step = steps.send(rows)
            if isinstance(step, str):
                rows = connection.execute(query(step), asdict(lock)).fetchall()
            else:
                time.sleep(step)


def holds_blocking(connection: psycopg.Connection[Any], lock: Lock) -> bool:
    """Whether this session still holds a lock, in code without an event loop."""
    return connection.execute(query("lock_held"), asdict(lock)).fetchone() == (True,)


def _taking(lock: Lock, patience: float) -> Steps:
    # It polls. A blocking call would keep a snapshot open, and the CREATE INDEX CONCURRENTLY of the run that holds
    # the lock would wait for that snapshot.
    started, next_notice, announced = time.monotonic(), 0.0, False
    while True:
        rows = yield "lock_try_shared" if lock.shared else "lock_try"
        if rows and rows[0][0]:
            if announced:
                yield "lock_want_no_more"
            return
        if not announced:
            yield "lock_want"
            announced = True
        waited = time.monotonic() - started
        if waited >= min(next_notice, patience):
            holders = yield "lock_holders"
            if holders:
                text = _held_by(lock, holders)
                if waited >= patience:
                    yield "lock_want_no_more"
                    raise OutageError(
                        Code.LOCK_HELD,
                        f"{text}. Waited {patience:.0f} s. Wait for it, or end it: "
                        f"SELECT pg_terminate_backend({holders[0][0]});",
                    )
                log.info("%s. Waiting%s.", text, "" if patience == math.inf else f" up to {patience:.0f} s")
                next_notice = waited + NOTICE_SECONDS
        yield POLL_SECONDS


def _held_by(lock: Lock, holders: Rows) -> str:
    # PostgreSQL shows the age of another role's session only to members of pg_read_all_stats.
    sessions = [
        f"server process {pid} ({name}{'' if age is None else f', connected for {age:.0f} s'})"
        for pid, name, age in holders
    ]
    return f"Another {lock.holder} holds the lock on {lock.subject}: {', '.join(sessions)}"
