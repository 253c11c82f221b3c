"""Notice changes that no stream takes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict

import psycopg

from code_patterns.errors import PatternsError
from code_patterns.printable import LONGEST, printable
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import database_errors
from code_patterns.servers.postgres_psycopg import connect
from code_patterns.sql import query
from code_patterns.sync.run_locks import stream_lock

log = logging.getLogger(__name__)

ASK_SECONDS = 0.5
"""How often it asks while no stream is up."""
ASK_ATTENDED_SECONDS = 2.0
"""How often it asks while one is up: only its end would be news."""
SHORTEST_PAUSE_SECONDS = 20.0
"""A stream takes some seconds to start. It is called again only after that time."""
ANSWERED_PAUSE_SECONDS = 10.0
"""The pause after a call that a stream has answered: it came up, got further, and is gone again."""
LONGEST_PAUSE_SECONDS = 600.0
"""The pause doubles up to this while calls change nothing."""
READ_SECONDS = 60.0
"""How often it looks whether another database or collection is to be watched."""
LONGEST_RETRY_SECONDS = 60.0
"""The wait after a failure doubles up to this."""

Read = Callable[[], Awaitable[tuple[PostgresConfig, str]]]
"""Reads which database is watched, and for which collection."""


async def unattended(read: Read, target: str | None = None) -> AsyncIterator[None]:
    """Yield whenever a stream should start: changes wait, and none is up.

    It asks for a state, not for events, so nothing is missed while it does not run. It never ends and never fails.
    If it cannot ask, the reason is logged once, and it tries again with growing waits.

    :param read: read again every minute and for each connection, so that what was changed is used
    :param target: the target's name; ``None`` for the target without one
    """
    pauses, told, wait = _Pauses(), "", ASK_SECONDS
    while True:
        try:
            watched, read_at = await read(), time.monotonic()
            config, collection = watched
            async with await connect(config, autocommit=True) as connection:
                while True:
                    if time.monotonic() - read_at >= READ_SECONDS:
                        now, read_at = await read(), time.monotonic()
                        if now != watched:
                            break
                    attended, progress = await _ask(config, connection, collection, target)
                    if told:
                        log.info("The database of %s answers again.", config.address)
                    told, wait = "", ASK_SECONDS
                    if attended:
                        pauses.answered()
                    elif progress is not None and pauses.may_call(progress):
                        yield
                    await asyncio.sleep(ASK_ATTENDED_SECONDS if attended else ASK_SECONDS)
        except PatternsError as error:
            if f"{error}" != told:
                log.warning("No stream is started at the moment. %s", error)
                told = f"{error}"
        # Reading asks Airflow, whose errors are of many kinds, with texts that change from one to the next.
        except Exception as error:
            if type(error).__qualname__ != told:
                log.warning("No stream is started at the moment. %s", printable(f"{error!r}", LONGEST))
                told = type(error).__qualname__
        await asyncio.sleep(wait)
        wait = min(LONGEST_RETRY_SECONDS, wait * 2)


async def _ask(
    config: PostgresConfig, connection: psycopg.AsyncConnection, collection: str, target: str | None
) -> tuple[bool, str | None]:
    """Return whether a stream is up, and how far the last run came, if changes wait that it did not take."""
    parameters = {"collection": collection, "target": target, **asdict(stream_lock(collection))}
    async with database_errors(config, connection):
        row = await (await connection.execute(query("stream_unattended"), parameters)).fetchone()
    if row is None:
        return False, None
    progress, changed, attended = row
    return attended, progress if changed and not attended else None


class _Pauses:
    """Decides when to call again: a call that changed nothing doubles the pause."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._called_at = 0.0
        self._progress: str | None = None
        self._answered = False

    def answered(self) -> None:
        """Remember that a stream is up."""
        self._answered = True

    def may_call(self, progress: str) -> bool:
        """Whether enough time has passed; remembers the call.

        :param progress: what the last call should have changed
        """
        now, stuck = time.monotonic(), progress == self._progress
        if now - self._called_at < (ANSWERED_PAUSE_SECONDS if self._answered and not stuck else self._seconds):
            return False
        self._seconds = min(LONGEST_PAUSE_SECONDS, self._seconds * 2) if stuck else SHORTEST_PAUSE_SECONDS
        self._called_at, self._progress, self._answered = now, progress, False
        return True
