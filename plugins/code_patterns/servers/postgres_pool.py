"""Questions to a database through a small pool that stays open, as a server of many short requests needs it."""

import asyncio
from typing import Any

from code_patterns.errors import without_frames
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_asyncpg import Borrowed, open_pool
from code_patterns.servers.postgres_errors import diagnose, explain
from code_patterns.sql import query

MOST_CONNECTIONS = 4

_SETTINGS = {"application_name": "code_patterns search", "default_transaction_read_only": "on"}


class PostgresPool:
    """Reads through a pool that the first question opens.

    :param config: the database
    :param seconds: longest wait for an answer, with that for a connection
    """

    def __init__(self, config: PostgresConfig, seconds: float) -> None:
        self._config = config
        self._seconds = seconds
        self._opening = asyncio.Lock()
        self._pool: Any = None

    async def fetch(self, name: str, *parameters: Any) -> Any:
        """Return the rows of a named query.

        :param name: its file in ``include/sql``, without the ending
        :raises PatternsError: the database cannot be reached or cannot answer, or its tables are missing
        """
        return await self.fetch_by(query(name), *parameters)

    async def fetch_by(self, statement: bytes, *parameters: Any) -> Any:
        """Return the rows of a query; see :meth:`fetch`."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._fetch(statement, *parameters)
        except Exception as error:
            fault = diagnose(error)
            if fault is None:
                raise
            without_frames(error)
            server = f"PostgreSQL at {self._config.address}"
            raise explain(fault, server, login=self._config.user, doing="the question") from None

    async def _fetch(self, statement: bytes, *parameters: Any) -> Any:
        async with self._opening:
            if self._pool is None:
                # One connection at once: a wrong password is told as such by a connection alone, not by a pool.
                self._pool = await open_pool(
                    self._config,
                    # It would log each try to get a lost connection back; the next question opens one anyway.
                    min_size=0,
                    init_size=1,
                    max_size=MOST_CONNECTIONS,
                    command_timeout=self._seconds,
                    settings=_SETTINGS,
                )
        async with Borrowed(self._pool, self._seconds, reset=False) as connection:
            return await connection.fetch(statement.decode(), *parameters)

    async def close(self) -> None:
        """Close all connections; the next question opens the pool again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()
