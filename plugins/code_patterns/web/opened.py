"""The open connections of one process of the API server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from code_patterns.hooks.configured import Configured
from code_patterns.search import Searcher
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_pool import PostgresPool
from code_patterns.web.history import History

DATABASE_SECONDS = 6.0
"""Longest wait for a database: less than a request may take, so that the answer says who did not answer."""


@dataclass
class _Database:
    config: PostgresConfig
    pool: PostgresPool
    users: int = 0


class Databases:
    """Open databases. Targets of the same database share its pool, so that many targets need few sessions."""

    def __init__(self) -> None:
        self._open: list[_Database] = []

    def take(self, config: PostgresConfig) -> PostgresPool:
        """Return the pool of a database, to be given back."""
        found = next((one for one in self._open if one.config == config), None)
        if found is None:
            found = _Database(config, PostgresPool(config, DATABASE_SECONDS))
            self._open.append(found)
        found.users += 1
        return found.pool

    async def give_back(self, pool: PostgresPool) -> None:
        """Close a pool if nobody else uses it."""
        found = next(one for one in self._open if one.pool is pool)
        found.users -= 1
        if not found.users:
            self._open.remove(found)
            await pool.close()


class Opened:
    """The open connections of a target. Each connects when it is first needed.

    :param by: the addresses
    :param databases: open databases
    """

    def __init__(self, by: Configured, databases: Databases) -> None:
        self.by = by
        self._databases = databases
        self._database = databases.take(by.postgres)
        self.searcher = Searcher(self._database, by.qdrant, by.embedding, by.collection, by.target)
        self.history = History(self._database, by.collection, by.target)
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator["Opened"]:
        """Keep them open while a request uses them."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            await self._close_if_unused()

    async def retire(self) -> None:
        """Close them as soon as no request uses them."""
        self._retired = True
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            await self.searcher.close()
            await self._databases.give_back(self._database)
