"""The open connections of one process of the API server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from code_patterns.hooks.configured import Configured
from code_patterns.search import Searcher
from code_patterns.web.history import History


class Opened:
    """Open connections. Each connects when it is first needed.

    :param by: the addresses
    """

    def __init__(self, by: Configured) -> None:
        self.by = by
        self.searcher = Searcher(by.postgres, by.qdrant, by.embedding, by.collection)
        self.history = History(self.searcher.database, by.collection)
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
