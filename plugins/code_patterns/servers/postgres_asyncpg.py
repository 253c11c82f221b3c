"""Open a connection or a pool of asyncpg, and take connections from a pool."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

import asyncpg

from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.servers.postgres import CONNECT_TIMEOUT_SECONDS, NO_FILE, PINNED, PostgresConfig
from code_patterns.servers.postgres_errors import connection_failure
from code_patterns.servers.postgres_session import SETTLE, refuse_disputed, undisturbed

log = logging.getLogger(__name__)

_TLS = ("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation")
_SESSION = ("application_name", "options", "client_encoding")
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that its pool resets when it comes back, unless whoever had it left the session as it was.

    A reset takes longer than reading one row.
    """

    _unchanged = False

    def leave_unreset(self) -> None:
        """Tell the pool not to reset the session this once: nothing was set in it."""
        self._unchanged = True

    async def reset_if_changed(self) -> None:
        """Reset the session, unless it was left as it was."""
        unchanged, self._unchanged = self._unchanged, False
        if not unchanged:
            await self.execute(self.get_reset_query())
            await self.execute(SETTLE.decode())


class Borrowed:
    """One connection of a pool for a while, as an asynchronous context.

    :param pool: an asyncpg pool
    :param timeout_seconds: longest wait for a free connection
    :param reset: whether the statements may set something in the session that has to go when it is given back
    """

    def __init__(self, pool: Any, timeout_seconds: float, *, reset: bool = True) -> None:
        self._pool = pool
        self._timeout_seconds = timeout_seconds
        self._reset = reset

    async def __aenter__(self) -> Any:
        """Take the connection.

        :raises OutageError: none became free in that time, or the server cannot be reached
        :raises ConfigurationError: the pool is closed
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._connection = await self._pool.acquire()
        except _FAILURES as error:
            raise _unavailable(self._pool, self._timeout_seconds, error) from None
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        # A pool that somebody else made has connections of another class, and resets them always.
        if kind is None and not self._reset and (leave := getattr(self._connection, "leave_unreset", None)):
            leave()
        try:
            await self._pool.release(self._connection)
        except _FAILURES as failure:
            # The pool drops the connection and opens another when one is wanted; what ran on it has ended already.
            log.debug("A connection broke on its way back to the pool: %s", failure)


async def connect_asyncpg(config: PostgresConfig, settings: Mapping[str, str]) -> Any:
    """Open a connection.

    :param settings: settings of its session besides those that every session has
    :raises ConfigurationError: unknown host, wrong password, no such database
    :raises OutageError: the server is starting up or full
    """
    try:
        connection = await _connect(**asyncpg_arguments(config, settings))
        try:
            await _settle(config, connection)
        except BaseException:
            connection.terminate()
            raise
    except _FAILURES as error:
        raise connection_failure(config, error, error) from None
    return connection


async def open_pool(
    config: PostgresConfig, *, min_size: int, max_size: int, command_timeout: float, settings: Mapping[str, str]
) -> Any:
    """Open a pool of :class:`PooledConnection`; errors as in :func:`connect_asyncpg`.

    :param min_size: connections opened at once
    :param max_size: most connections
    :param command_timeout: longest time a statement may take, in seconds
    :param settings: settings of its sessions besides those that every session has
    """
    try:
        return await asyncpg.create_pool(
            **asyncpg_arguments(config, settings),
            min_size=min_size,
            max_size=max_size,
            command_timeout=command_timeout,
            connection_class=PooledConnection,
            connect=_connect,
            init=partial(_settle, config),
            reset=PooledConnection.reset_if_changed,
        )
    except _FAILURES as error:
        raise connection_failure(config, error, error) from None


async def refusal(config: PostgresConfig) -> Exception | None:
    """Ask a server that refused psycopg, and return why it refuses; ``None`` when it does not."""
    try:
        connection = await _connect(**asyncpg_arguments(config, {}, strict=False))
    except _FAILURES as error:
        return error
    connection.terminate()
    return None


async def _connect(*arguments: Any, **named: Any) -> Any:
    return await undisturbed(asyncpg.connect(*arguments, **named).__await__())


async def _settle(config: PostgresConfig, connection: Any) -> None:
    refuse_disputed(config, await connection.fetchval(SETTLE.decode()))


def asyncpg_arguments(config: PostgresConfig, settings: Mapping[str, str], *, strict: bool = True) -> dict[str, Any]:
    """Return what asyncpg needs in order to connect.

    :param settings: settings of the session besides those that every session has
    :param strict: refuse what asyncpg does not know, instead of leaving it out
    :raises ConfigurationError: the connection has a parameter of libpq that asyncpg does not know
    """
    options: Mapping[str, Any] = config.options
    known = {*_TLS, *_SESSION, "connect_timeout", "target_session_attrs"}
    if strict and (unknown := sorted(options.keys() - known)):
        raise ConfigurationError(
            f"{config.address} has the parameter '{unknown[0]}', which the storage layer cannot use. Remove it; usable "
            f"are {', '.join(sorted(known))}."
        )
    tls = {name: options[name] for name in _TLS if name in options}
    session = {"options": str(options["options"])} if options.get("options") else {}
    named = {"application_name": str(options["application_name"])} if "application_name" in options else {}
    arguments: dict[str, Any] = {
        # TLS files can be named in a URL only; what stands beside it is not repeated there.
        "dsn": f"postgresql:///?{urlencode(tls)}" if tls else None,
        "host": config.host,
        "port": config.port,
        "user": config.user,
        "database": config.database,
        "password": config.password or "",
        "passfile": NO_FILE,
        "timeout": float(options.get("connect_timeout") or CONNECT_TIMEOUT_SECONDS),
        "server_settings": {**session, **PINNED, **settings, **named},
    }
    if "target_session_attrs" in options:
        arguments["target_session_attrs"] = options["target_session_attrs"]
    return arguments


def _unavailable(pool: Any, timeout_seconds: float, error: Exception) -> PatternsError:
    if isinstance(error, TimeoutError):
        return OutageError(
            f"No connection became free within {timeout_seconds:g} s: all {pool.get_size()} of the pool (at most "
            f"{pool.get_max_size()}) are in use or cannot be opened. Nothing was done; try again, or give the pool a "
            "larger max_pool_size."
        )
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, asyncpg.InterfaceError):
        return ConfigurationError(
            f"The pool cannot be used: {reason}. Open it with PatternDatabaseManager.initialize()."
        )
    return OutageError(f"PostgreSQL cannot be reached: {reason}. Nothing was done; try again.")
