"""Run a migration file so that nobody waits for it."""

import logging
import random
import time
from collections.abc import Callable
from typing import Any

import psycopg

from code_patterns.migrations.files import Kind, Part, Script
from code_patterns.migrations.findings import rows_of

log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 0.1
"""How long a transaction waits for a table: readers and writers that come later queue up behind it meanwhile."""
LOCK_PATIENCE_SECONDS = 300.0
"""How long it tries again while others use the table."""
_LONGEST_PAUSE_SECONDS = 2.0
_NOTICE_SECONDS = 30.0


def run_part(connection: psycopg.Connection[Any], script: Script, part: Part) -> None:
    """Run one part of a file that is in parts.

    :param connection: in autocommit mode, outside a transaction
    :raises psycopg.Error: a statement failed; what ran before it stays
    """
    if part.title:
        log.info("%s.sql: %s", script.name, part.title)
    if part.kind is not Kind.STATEMENTS:
        _RUN[part.kind.value](connection, part.sql)
        return
    for word, text in rows_of(connection, part):
        if run := _RUN.get(word):
            log.info("%s", text)
            run(connection, text)


def patiently(connection: psycopg.Connection[Any], work: Callable[[], None]) -> None:
    """Do work in a transaction that waits for locks only for a moment, again and again while others hold them.

    :raises psycopg.errors.LockNotAvailable: a lock was not free within :data:`LOCK_PATIENCE_SECONDS`
    """
    begun = time.monotonic()
    pause, next_notice = 0.05, _NOTICE_SECONDS
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS * 1000:.0f}ms'".encode())
                work()
                return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            waited = time.monotonic() - begun
            if waited >= LOCK_PATIENCE_SECONDS:
                raise
            if waited >= next_notice:
                log.info("Another session uses the table; tried for %.0f s of %.0f s", waited, LOCK_PATIENCE_SECONDS)
                next_notice = waited + _NOTICE_SECONDS
        # At random, so that it does not meet the same others every time.
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _run_short(connection: psycopg.Connection[Any], sql: str) -> None:
    patiently(connection, lambda: _execute(connection, sql))


def _execute(connection: psycopg.Connection[Any], sql: str) -> None:
    # Without parameters psycopg sends the text unchanged: several statements, and % is only a character.
    connection.execute(sql.encode())


_RUN: dict[str, Callable[[psycopg.Connection[Any], str], None]] = {
    Kind.SHORT.value: _run_short,
    Kind.LONG.value: _execute,
}
