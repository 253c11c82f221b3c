"""Open connections of psycopg."""

import asyncio
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo

from code_patterns.servers.postgres import PostgresConfig, refuse_old_postgres
from code_patterns.servers.postgres_errors import connection_failure
from code_patterns.servers.postgres_pooler import is_refused_at_start
from code_patterns.servers.postgres_session import settle, settle_blocking, settling, undisturbed
from code_patterns.sql import query

Result = TypeVar("Result")

_AS_STORED = "SET client_encoding = 'SQL_ASCII'"


class _LastWords:
    """Remembers why the server ended the session, where libpq takes its last message for a notice."""

    ended_with: str | None = None

    def hear(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized in ("FATAL", "PANIC"):
            self.ended_with = notice.sqlstate


class _Connection(_LastWords, psycopg.Connection):
    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> Generator[Any, Any, Any]:
        return undisturbed(super()._connect_gen(conninfo))


class _AsyncConnection(_LastWords, psycopg.AsyncConnection):
    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> Generator[Any, Any, Any]:
        return undisturbed(super()._connect_gen(conninfo))


async def connect(config: PostgresConfig, *, autocommit: bool = False) -> psycopg.AsyncConnection:
    """Open a connection with the settings of every session; fail with one sentence.

    :raises ConfigurationError: wrong password, no such database, an old server, two schemas with these tables
    :raises OutageError: the server cannot be reached, is starting up or full
    """
    connection = None

    try:
        connection = await _open(config)
        connection.add_notice_handler(connection.hear)
        refuse_old_postgres(config, connection.info.parameter_status("server_version") or "")
        await settle(
            settling(config, connection.info.backend_pid),
            partial(_fetch, psycopg.AsyncRawCursor(connection)),
            partial(_other_process, config),
        )
        if _read_any_bytes(connection):
            await connection.execute(_AS_STORED)
        await connection.set_autocommit(autocommit)
    except BaseException as error:
        if connection is not None:
            await connection.close()
        if isinstance(error, psycopg.Error):
            raise connection_failure(config, error, await _cause(config, error)) from None
        raise
    return connection


def connect_blocking(config: PostgresConfig, *, autocommit: bool = False) -> psycopg.Connection:
    """Open a connection for code without an event loop; errors as in :func:`connect`."""
    connection = None

    try:
        connection = _open_blocking(config)
        connection.add_notice_handler(connection.hear)
        refuse_old_postgres(config, connection.info.parameter_status("server_version") or "")
        settle_blocking(
            settling(config, connection.info.backend_pid),
            partial(_fetch_blocking, psycopg.RawCursor(connection)),
            lambda: _in_thread(_other_process(config)),
        )
        if _read_any_bytes(connection):
            connection.execute(_AS_STORED)
        connection.autocommit = autocommit
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, psycopg.Error):
            raise connection_failure(config, error, _in_thread(_cause(config, error))) from None
        raise
    return connection


async def _fetch(cursor: psycopg.AsyncRawCursor, name: str, *parameters: str) -> Any:
    return await (await cursor.execute(query(name), parameters)).fetchone()


def _fetch_blocking(cursor: psycopg.RawCursor, name: str, *parameters: str) -> Any:
    return cursor.execute(query(name), parameters).fetchone()


async def _open(config: PostgresConfig) -> _AsyncConnection:
    try:
        return await _AsyncConnection.connect(config.conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        cause = await _cause(config, error)
        if not is_refused_at_start(cause):
            raise connection_failure(config, error, cause) from None
    return await _AsyncConnection.connect(_without_settings(config), autocommit=True)


def _open_blocking(config: PostgresConfig) -> _Connection:
    try:
        return _Connection.connect(config.conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        cause = _in_thread(_cause(config, error))
        if not is_refused_at_start(cause):
            raise connection_failure(config, error, cause) from None
    return _Connection.connect(_without_settings(config), autocommit=True)


def _without_settings(config: PostgresConfig) -> str:
    """Return a connection string that a pooler takes; the settings follow when the session is settled."""
    return make_conninfo(config.conninfo, options="")


def _in_thread(coroutine: Coroutine[Any, Any, Result]) -> Result:
    # This thread may have a running event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


class _AnyBytesLoader(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")


def _read_any_bytes(connection: psycopg.Connection | psycopg.AsyncConnection) -> bool:
    """Read a row with wrong bytes, so that it does not make its whole page unreadable.

    A database with the encoding SQL_ASCII may hold any bytes, and refuses to send wrong ones as UTF-8. It sends the
    stored bytes if the session asks for them. Bytes that are not UTF-8 become lone surrogates, which mark the row.

    :return: whether the database has this encoding, so that the session must ask
    """
    if connection.info.parameter_status("server_encoding") != "SQL_ASCII":
        return False
    for name in ("text", "varchar", "bpchar", "name"):
        connection.adapters.register_loader(name, _AnyBytesLoader)
    return True


async def _cause(config: PostgresConfig, error: psycopg.Error) -> Exception | None:
    """Find out why a connection was refused; ``None`` if the server accepts one now.

    libpq does not give the SQLSTATE of a refused connection. asyncpg does, so it asks the same server again.
    """
    if error.sqlstate is not None or isinstance(error, psycopg.errors.ConnectionTimeout):
        return error
    from code_patterns.servers.postgres_asyncpg import refusal

    return await refusal(config)


async def _other_process(config: PostgresConfig) -> int | None:
    from code_patterns.servers.postgres_asyncpg import other_process

    return await other_process(config)
