"""The pool of connections to the storage layer's database."""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.migrations.runner import apply
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_asyncpg import Borrowed, open_pool
from pattern_learning import trace_writer
from pattern_learning.database_choice import choose_database
from pattern_learning.effect import ACQUIRE_TIMEOUT_SECONDS, reason_of

log = logging.getLogger(__name__)

SETTINGS: Mapping[str, str] = {
    "application_name": "pattern_learning",
    # The default of 4 MB is too little for the rows that a frequent word finds.
    "work_mem": "16MB",
}
"""Settings of the storage layer's sessions."""
COMMAND_TIMEOUT_SECONDS = 60.0
CLOSE_TIMEOUT_SECONDS = 10.0


class PatternDatabaseManager:
    """Opens, checks and closes a pool of asyncpg connections.

    :param connection_url: ``postgresql://user:password@host:port/database``; ``None`` takes the database that the
        environment names, or the Airflow connection ``patterns_postgres``. No host and no password is guessed.
    :param min_pool_size: connections opened at once
    :param max_pool_size: most connections
    :param config: the database, instead of ``connection_url``
    :param acquire_timeout: longest wait of :meth:`acquire` for a free connection, in seconds
    :param command_timeout: longest time a statement may take, in seconds
    :ivar pool: the pool, between :meth:`initialize` and :meth:`close`
    """

    def __init__(
        self,
        connection_url: str | None = None,
        min_pool_size: int = 5,
        max_pool_size: int = 20,
        *,
        config: PostgresConfig | None = None,
        acquire_timeout: float = ACQUIRE_TIMEOUT_SECONDS,
        command_timeout: float = COMMAND_TIMEOUT_SECONDS,
    ) -> None:
        if not 0 < min_pool_size <= max_pool_size:
            raise ConfigurationError(
                Code.POOL_UNUSABLE,
                f"min_pool_size is {min_pool_size} and max_pool_size is {max_pool_size}; needed is 1 <= min <= max.",
            )
        self.pool: Any = None
        self.min_pool_size = min_pool_size
        self.max_pool_size = max_pool_size
        self._connection_url = connection_url
        self._config = config
        self._acquire_timeout = acquire_timeout
        self._command_timeout = command_timeout
        self._opening = asyncio.Lock()

    async def initialize(self) -> bool:
        """Open the pool, unless it is open.

        :return: true
        :raises ConfigurationError: the connection is incomplete, or the server refuses it
        :raises OutageError: the server is starting up or full
        """
        async with self._opening:
            if self.pool is None:
                config = await self._resolve()
                self.pool = await open_pool(
                    config,
                    min_size=self.min_pool_size,
                    max_size=self.max_pool_size,
                    command_timeout=self._command_timeout,
                    settings=SETTINGS,
                )
                trace_writer.attach(self.pool, config)
                log.info("Opened a pool of %d to %d connections", self.min_pool_size, self.max_pool_size)
        return True

    async def close(self) -> None:
        """Write the waiting traces and close the pool; :meth:`initialize` opens it again.

        Connections that are still in use after 10 seconds are cut.
        """
        async with self._opening:
            pool, self.pool = self.pool, None
            if pool is None:
                return
            await trace_writer.detach(pool)
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await pool.close()
            except TimeoutError:
                log.warning("Connections were still in use %g s after closing began; cut", CLOSE_TIMEOUT_SECONDS)
                pool.terminate()

    async def health_check(self) -> bool:
        """Return whether the pool is open and the database answers; never raises."""
        if self.pool is None:
            return False
        try:
            async with self.acquire() as connection:
                return bool(await connection.fetchval("SELECT 1") == 1)
        except Exception as error:
            log.warning("The database of the templates does not answer: %s", reason_of(error) or error)
            return False

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Take a connection for your own statements; it is reset when you return it.

        :raises OutageError: no connection became free in time, or the server cannot be reached
        :raises ConfigurationError: the pool was not open and cannot be opened
        """
        await self.initialize()
        async with Borrowed(self.pool, self._acquire_timeout) as connection:
            yield connection

    async def initialize_schema(self) -> bool:
        """Migrate the database to the newest schema, as ``schema_migration`` does; existing tables keep their rows.

        :return: true
        :raises PatternsError: a migration failed, or the login may not change the schema
        """
        result = await asyncio.to_thread(apply, await self._resolve(), "up", None, "pattern_learning")
        log.info("The database is at version %03d", result.version)
        return True

    async def get_pool_stats(self) -> dict[str, Any]:
        """Return ``initialized``, ``pool_size``, ``idle_connections``, ``active_connections`` and the two limits."""
        size = self.pool.get_size() if self.pool else 0
        idle = self.pool.get_idle_size() if self.pool else 0
        return {
            "initialized": self.pool is not None,
            "pool_size": size,
            "idle_connections": idle,
            "active_connections": size - idle,
            "min_pool_size": self.min_pool_size,
            "max_pool_size": self.max_pool_size,
        }

    async def _resolve(self) -> PostgresConfig:
        if self._config is None:
            self._config = await choose_database(self._connection_url)
        return self._config


_managers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str | None, PatternDatabaseManager]] = (
    weakref.WeakKeyDictionary()
)


async def get_pattern_db_manager(connection_url: str | None = None) -> PatternDatabaseManager:
    """Return the manager that the running event loop shares for this database, with its pool open.

    :param connection_url: the database; ``None`` takes what :func:`.database_choice.choose_database` finds
    :raises ConfigurationError: as in :meth:`PatternDatabaseManager.initialize`
    :raises OutageError: likewise
    """
    managers = _managers.setdefault(asyncio.get_running_loop(), {})
    manager = managers.setdefault(connection_url, PatternDatabaseManager(connection_url))
    await manager.initialize()
    return manager


async def close_pattern_db_manager() -> None:
    """Close every manager that the running event loop shares; :func:`get_pattern_db_manager` makes new ones."""
    managers = _managers.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(manager.close() for manager in managers.values()))
