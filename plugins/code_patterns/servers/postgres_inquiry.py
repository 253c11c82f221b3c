"""Ask a session, after an error, for the reason that the error itself does not give."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, TransactionStatus

from code_patterns.sql import query

CANCELLED = "57014"
"""By ``statement_timeout``, or by somebody's ``pg_cancel_backend``."""
_LOCKED = "55P03"
_FORBIDDEN = "42501"
"""No right, or row-level security."""


@dataclass(frozen=True)
class Circumstances:
    """What the session in which an error occurred says about itself.

    :param limits: its time limits that are not off, by setting: value and origin
    :param hidden: tables of which row-level security hides rows from its role
    :param state: SQLSTATE with which the server ended it, where the error has none
    """

    limits: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    state: str | None = None


def circumstances_of(error: BaseException) -> Circumstances | None:
    """Return what the session said after this error; ``None`` if it was not asked or could not answer."""
    found = getattr(error, "circumstances", None)
    return found if isinstance(found, Circumstances) else None


async def inquire(connection: psycopg.AsyncConnection, error: psycopg.Error) -> None:
    """Ask a session of psycopg, if that explains the error; the answer is kept with the error."""
    _keep_last_words(connection, error)
    if _explains(error) and connection.info.transaction_status is TransactionStatus.IDLE:
        try:
            _keep(error, await (await connection.execute(query("session_inquiry"))).fetchone())
        except psycopg.Error as failure:
            _keep_failure(error, failure)


def inquire_blocking(connection: psycopg.Connection[Any], error: psycopg.Error) -> None:
    """Ask in code without an event loop; see :func:`inquire`."""
    _keep_last_words(connection, error)
    if _explains(error) and connection.info.transaction_status is TransactionStatus.IDLE:
        try:
            _keep(error, connection.execute(query("session_inquiry")).fetchone())
        except psycopg.Error as failure:
            _keep_failure(error, failure)


async def inquire_asyncpg(connection: Any, error: BaseException) -> None:
    """Ask a session of asyncpg; see :func:`inquire`."""
    if _explains(error) and not connection.is_closed() and not connection.is_in_transaction():
        import asyncpg

        try:
            _keep(error, await connection.fetchrow(query("session_inquiry").decode()))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as failure:
            _keep_failure(error, failure)


def is_unasked(connection: psycopg.AsyncConnection, error: psycopg.Error) -> bool:
    """Whether the session must be asked, and cannot be before its transaction is rolled back."""
    return _explains(error) and connection.info.transaction_status is TransactionStatus.INERROR


def _explains(error: BaseException) -> bool:
    return getattr(error, "sqlstate", None) in (CANCELLED, _LOCKED, _FORBIDDEN)


def _keep(error: BaseException, row: Any) -> None:
    limits, hidden = (json.loads(column) for column in row)
    error.circumstances = Circumstances(limits, tuple(hidden))  # type: ignore[attr-defined]


def _keep_last_words(connection: psycopg.AsyncConnection | psycopg.Connection[Any], error: psycopg.Error) -> None:
    """Keep with an error why the server closed the connection.

    psycopg stops at the closed socket, and leaves the server's last message unread in libpq. A message that came with
    the answer before it was heard as a notice.
    """
    if error.sqlstate is not None or connection.pgconn.status != ConnStatus.BAD:
        return
    state: str | None = getattr(connection, "ended_with", None)
    with suppress(psycopg.OperationalError):
        while result := connection.pgconn.get_result():
            if found := result.error_field(DiagnosticField.SQLSTATE):
                state = found.decode()
    if state:
        error.circumstances = Circumstances(state=state)  # type: ignore[attr-defined]


def _keep_failure(error: BaseException, failure: BaseException) -> None:
    if getattr(failure, "sqlstate", None) == CANCELLED:
        # So short a limit that it ends this question too.
        error.circumstances = Circumstances({"statement_timeout": "a few ms"})  # type: ignore[attr-defined]
