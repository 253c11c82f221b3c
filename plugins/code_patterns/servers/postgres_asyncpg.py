"""Open connections and pools of asyncpg, and take connections from a pool."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import asyncpg

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError, PatternsError, without_frames
from code_patterns.servers.postgres import CONNECT_TIMEOUT_SECONDS, NO_FILE, PINNED, PostgresConfig, refuse_old_postgres
from code_patterns.servers.postgres_certificate import untrusted_certificate
from code_patterns.servers.postgres_errors import connection_failure
from code_patterns.servers.postgres_inquiry import inquire_asyncpg
from code_patterns.servers.postgres_pooler import is_refused_at_start, shared_process
from code_patterns.servers.postgres_session import settle, settling, undisturbed
from code_patterns.sql import query

log = logging.getLogger(__name__)

OTHER_PROCESS_SECONDS = 5.0
FAREWELL_SECONDS = 1.0
"""How long whoever gave a statement up waits until it is cancelled, which takes a connection of its own."""

_UNKNOWN_SETTING = "42704"
_TLS = ("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation")
_SESSION = ("application_name", "options", "client_encoding")
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that its pool resets when it is returned, unless its user changed nothing in the session.

    A reset takes longer than reading one row.
    """

    _unchanged = False
    _pinned: str | None = None

    def leave_unreset(self) -> None:
        """Skip the next reset: nothing was set in the session."""
        self._unchanged = True

    async def reset_if_changed(self) -> None:
        """Reset the session, unless it was not changed."""
        unchanged, self._unchanged = self._unchanged, False
        if not unchanged:
            await self.execute(self.get_reset_query())
            if self._pinned is not None:
                await self.execute(query("session_pin").decode(), self._pinned)
            await self.execute(query("session_settle").decode())

    def pin(self, settings: str) -> None:
        """Set these again after a reset: behind a pooler the session did not start with them."""
        self._pinned = settings


class Borrowed:
    """Borrow a connection from a pool, as an asynchronous context.

    :param pool: an asyncpg pool
    :param timeout_seconds: longest wait for a free connection
    :param reset: whether the statements may change the session, so that it needs a reset
    """

    def __init__(self, pool: Any, timeout_seconds: float, *, reset: bool = True) -> None:
        self._pool = pool
        self._timeout_seconds = timeout_seconds
        self._reset = reset

    async def __aenter__(self) -> Any:
        """Take the connection.

        :raises OutageError: no connection became free in that time, or the server cannot be reached
        :raises ConfigurationError: the pool is closed
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._connection = await self._pool.acquire()
        except _FAILURES as error:
            raise _unavailable(self._pool, self._timeout_seconds, without_frames(error)) from None
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            await inquire_asyncpg(self._connection, error)
        # A pool that a caller made has connections of another class, and always resets them.
        elif not self._reset and (leave := getattr(self._connection, "leave_unreset", None)):
            leave()
        try:
            given_up = isinstance(error, asyncio.CancelledError | TimeoutError)
            await self._pool.release(self._connection, timeout=FAREWELL_SECONDS if given_up else None)
        except _FAILURES as failure:
            # The pool drops the connection and opens another when needed. The statements on it have ended.
            log.debug("A connection broke on its way back to the pool: %s", failure)


async def connect_asyncpg(config: PostgresConfig, settings: Mapping[str, str]) -> Any:
    """Open a connection.

    :param settings: additional settings of its session
    :raises ConfigurationError: unknown host, wrong password, no such database, an old server
    :raises OutageError: the server is starting up or full
    """
    try:
        connection = await _connect(**asyncpg_arguments(config, settings))
        try:
            await _settle(config, settings, connection)
        except BaseException:
            connection.terminate()
            raise
    except _FAILURES as error:
        raise connection_failure(config, without_frames(error), await _cause(config, error)) from None
    return connection


async def open_pool(
    config: PostgresConfig,
    *,
    min_size: int,
    max_size: int,
    command_timeout: float,
    settings: Mapping[str, str],
    init_size: int | None = None,
) -> Any:
    """Open a pool of :class:`PooledConnection`; errors as in :func:`connect_asyncpg`.

    :param min_size: connections that the pool keeps open, and opens again if they are lost
    :param max_size: most connections
    :param command_timeout: longest time a statement may take, in seconds
    :param settings: additional settings of its sessions
    :param init_size: connections opened at once; ``None`` for those that it keeps open
    """
    try:
        return await asyncpg.create_pool(
            **asyncpg_arguments(config, settings),
            min_size=min_size,
            max_size=max_size,
            init_size=init_size,
            command_timeout=command_timeout,
            connection_class=PooledConnection,
            connect=_connect,
            init=partial(_settle, config, settings),
            reset=PooledConnection.reset_if_changed,
        )
    except _FAILURES as error:
        raise connection_failure(config, without_frames(error), await _cause(config, error)) from None


async def refusal(config: PostgresConfig) -> Exception | None:
    """Ask a server that refused psycopg why; ``None`` if it does not refuse now."""
    try:
        # With the settings in the form in which libpq sends them.
        arguments = asyncpg_arguments(config, {}, strict=False) | {"server_settings": {"options": config.switches}}
        connection = await undisturbed(asyncpg.connect(**arguments).__await__())
    except _FAILURES as error:
        return await _cause(config, error)
    connection.terminate()
    return None


async def _cause(config: PostgresConfig, error: Exception) -> Exception:
    """Find out whether a server is too old for a setting of every session, or does not trust the certificate shown."""
    if isinstance(error, OSError | asyncpg.ConnectionDoesNotExistError):
        return await asyncio.to_thread(untrusted_certificate, config) or error
    if getattr(error, "sqlstate", None) != _UNKNOWN_SETTING:
        return error
    connection = None
    try:
        arguments = asyncpg_arguments(config, {}, strict=False) | {"server_settings": {}}
        connection = await undisturbed(asyncpg.connect(**arguments).__await__())
        refuse_old_postgres(config, connection.get_settings().server_version)
    except _FAILURES:
        return error
    except ConfigurationError as old:
        return old
    finally:
        if connection is not None:
            connection.terminate()
    return error


async def other_process(config: PostgresConfig) -> int | None:
    """Open another session behind a pooler for a moment.

    :return: its server process; ``None`` if it gets none in time, because other sessions keep theirs
    """
    # Named statements belong to a server process; this session may get another one for each transaction.
    arguments = asyncpg_arguments(config, {}, strict=False) | {"statement_cache_size": 0}
    connection = None
    try:
        async with asyncio.timeout(OTHER_PROCESS_SECONDS):
            connection = await _connect(**arguments)
            async with connection.transaction():
                return int(await connection.fetchval(query("session_process").decode()))
    except (TimeoutError, *_FAILURES):
        return None
    finally:
        if connection is not None:
            connection.terminate()


async def _connect(*arguments: Any, **named: Any) -> Any:
    try:
        return await undisturbed(asyncpg.connect(*arguments, **named).__await__())
    except asyncpg.PostgresError as error:
        if not is_refused_at_start(error):
            raise
    return await undisturbed(asyncpg.connect(*arguments, **named | {"server_settings": {}}).__await__())


async def _settle(config: PostgresConfig, settings: Mapping[str, str], connection: Any) -> None:
    async def fetch(name: str, *parameters: str) -> Any:
        # isinstance() says yes for every connection of asyncpg.
        if name == "session_pin" and type(connection) is PooledConnection:
            connection.pin(*parameters)
        return await connection.fetchrow(query(name).decode(), *parameters)

    refuse_old_postgres(config, connection.get_settings().server_version)
    wanted = {**settings, **_application_name(config)}
    try:
        await settle(settling(config, connection.get_server_pid(), wanted), fetch, partial(other_process, config))
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
        # Another session has, or had, this server process.
        raise shared_process(config) from None


def _application_name(config: PostgresConfig) -> dict[str, str]:
    options = config.options
    return {"application_name": str(options["application_name"])} if "application_name" in options else {}


def asyncpg_arguments(config: PostgresConfig, settings: Mapping[str, str], *, strict: bool = True) -> dict[str, Any]:
    """Return the arguments with which asyncpg connects.

    :param settings: additional settings of the session
    :param strict: refuse a parameter that asyncpg does not know, instead of leaving it out
    :raises ConfigurationError: the connection has a parameter of libpq that asyncpg does not know
    """
    options: Mapping[str, Any] = config.options
    known = {*_TLS, *_SESSION, "connect_timeout", "target_session_attrs"}
    if strict and (unknown := sorted(options.keys() - known)):
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"{config.address} has the parameter '{unknown[0]}', which the storage layer cannot use. Remove it; usable "
            f"are {', '.join(sorted(known))}.",
        )
    tls = {name: options[name] for name in _TLS if name in options}
    session = {"options": str(options["options"])} if options.get("options") else {}
    arguments: dict[str, Any] = {
        # asyncpg takes the names of TLS files only in a URL; the other arguments are given directly.
        "dsn": f"postgresql:///?{urlencode(tls)}" if tls else None,
        # libpq takes several between commas, and tries one after the other.
        "host": config.host.split(","),
        "port": config.port,
        "user": config.user,
        "database": config.database,
        "password": config.password or "",
        "passfile": NO_FILE,
        "timeout": float(options.get("connect_timeout") or CONNECT_TIMEOUT_SECONDS),
        "server_settings": {**session, **PINNED, **settings, **_application_name(config)},
    }
    if "target_session_attrs" in options:
        arguments["target_session_attrs"] = options["target_session_attrs"]
    return arguments


def _unavailable(pool: Any, timeout_seconds: float, error: Exception) -> PatternsError:
    if isinstance(error, TimeoutError):
        return OutageError(
            Code.POSTGRES_BUSY,
            f"No connection became free within {timeout_seconds:g} s: all {pool.get_size()} of the pool (at most "
            f"{pool.get_max_size()}) are in use or cannot be opened. Nothing was done; try again, or give the pool a "
            "larger max_pool_size.",
        )
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, asyncpg.InterfaceError):
        return ConfigurationError(
            Code.POOL_UNUSABLE, f"The pool cannot be used: {reason}. Open it with PatternDatabaseManager.initialize()."
        )
    return OutageError(Code.POSTGRES_AWAY, f"PostgreSQL cannot be reached: {reason}. Nothing was done; try again.")
