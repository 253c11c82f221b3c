"""The answers of the API about one target, from connections that stay open."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, NoReturn

from code_patterns.codes import Code
from code_patterns.errors import PatternsError
from code_patterns.hooks.configured import Configured
from code_patterns.search import SearchQuery, UnknownPatternError, WrongQueryError
from code_patterns.web.collection_status import collection_status
from code_patterns.web.history import History
from code_patterns.web.metrics import Look
from code_patterns.web.opened import Databases, Opened
from code_patterns.web.problems import RefusedError

REREAD_SECONDS = 15.0
"""How soon a changed connection or Variable is used."""
WAIT_SECONDS = 5.0
"""How long the state waits for a server: less than a request may take, and than the 10 seconds that Prometheus gives a
scrape by default."""


class Service:
    """Answers questions; changed connections and Variables are noticed.

    :param read: reads the connections
    :param databases: the open databases of this process
    """

    def __init__(self, read: Callable[[], Configured], databases: Databases) -> None:
        self._read = read
        self._databases = databases
        self._reading = asyncio.Lock()
        self._read_at = 0.0
        self._opened: Opened | None = None

    async def search(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Find patterns.

        :param fields: those of :class:`~code_patterns.search.SearchQuery`
        :raises RefusedError: a field is unknown or out of its bounds
        :raises PatternsError: the search fails
        """
        try:
            query = SearchQuery.read(fields)
            async with self._use() as opened:
                return (await opened.searcher.search(query)).as_dict()
        except UnknownPatternError as error:
            raise RefusedError(HTTPStatus.NOT_FOUND, error.message, error.field, error.code) from None
        except WrongQueryError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, error.message, error.field, error.code) from None

    async def get(self, pattern: str) -> Mapping[str, Any]:
        """Return one pattern.

        :param pattern: its uuid or ``pattern_id``
        :raises RefusedError: there is none
        """
        async with self._use() as opened:
            found = await opened.searcher.get(pattern)
        if found is None:
            raise RefusedError(
                HTTPStatus.NOT_FOUND, f"There is no pattern '{pattern[:200]}'.", code=Code.PATTERN_UNKNOWN
            )
        return found.as_dict()

    async def status(self) -> Mapping[str, Any]:
        """Return how far the collection is, and what it is; ``collection.error`` says why Qdrant does not tell."""
        async with self._use() as opened:
            sync, collection = await asyncio.gather(opened.history.status(), _soon(opened.by))
        return {"sync": _with_loss(sync, collection), "collection": collection}

    async def look(self) -> Look:
        """Return the state and what the last runs did, as far as the servers tell it soon.

        :raises ConfigurationError: a connection or Variable is missing or makes no sense
        """
        async with self._use() as opened:
            (sync, activity), collection = await asyncio.gather(_told_soon(opened.history), _soon(opened.by))
        return Look(collection, sync and _with_loss(sync, collection), activity)

    async def failures(self, limit: int, offset: int) -> Mapping[str, Any]:
        """Return dead letters, those that are parked longest first."""
        async with self._use() as opened:
            return {"failures": await opened.history.failures(limit, offset)}

    async def runs(self, limit: int, offset: int, kind: str | None) -> Mapping[str, Any]:
        """Return the newest runs of the sync, of one kind or of all."""
        async with self._use() as opened:
            return {"runs": await opened.history.runs(limit, offset, kind)}

    async def quality(self) -> Mapping[str, Any]:
        """Return the scores by tier and language, the best and the worst patterns, and what past runs scored."""
        async with self._use() as opened:
            return await opened.history.quality()

    async def close(self, refuse: Callable[[], NoReturn]) -> None:
        """Close everything for good: an open connection would stay open that nobody closes again.

        :param refuse: refuses further questions, and those that wait for connections now
        """
        self._read = refuse
        await self._retire()

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[Opened]:
        async with (await self._current()).used() as opened:
            with opened.by.target.errors():
                yield opened

    async def _current(self) -> Opened:
        async with self._reading:
            if self._opened is None or time.monotonic() - self._read_at > REREAD_SECONDS:
                read = self._read
                found = await asyncio.to_thread(read)
                self._read_at = time.monotonic()
                if self._opened is None or self._opened.by != found:
                    await self._retire()
                    if self._read is not read:
                        # It was closed meanwhile.
                        self._read()
                    self._opened = Opened(found, self._databases)
            return self._opened

    async def _retire(self) -> None:
        opened, self._opened = self._opened, None
        if opened:
            await opened.retire()


def _with_loss(sync: Mapping[str, Any], collection: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state, if Qdrant says that the collection is not there: PostgreSQL knows only what was written to it."""
    lost = collection.get("collection", "") is None and sync["state"] != "never synced"
    return {**sync, "state": "full sync needed"} if lost else sync


async def _told_soon(history: History) -> tuple[Mapping[str, Any] | None, Sequence[Mapping[str, Any]]]:
    """What PostgreSQL says, if it says so soon."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            return await history.status(), await history.activity()
    except (TimeoutError, PatternsError):
        return None, ()


async def _soon(found: Configured) -> Mapping[str, Any]:
    """What Qdrant says, if it says so soon: a Qdrant that hangs must not take all the rest with it."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            return await _collection(found)
    except TimeoutError:
        return {"name": found.collection, "error": f"Qdrant did not answer within {WAIT_SECONDS:.0f} s."}


async def _collection(found: Configured) -> Mapping[str, Any]:
    try:
        with found.target.errors():
            return await collection_status(found.qdrant, found.collection)
    except PatternsError as error:
        return {"name": found.collection, "error": str(error)}
