"""One search in one call, with Airflow's connections."""

import asyncio
from typing import Any

from code_patterns.search.hit import SearchAnswer
from code_patterns.search.query import SearchQuery
from code_patterns.search.searcher import open_searcher


def search(text: str = "", *, target: str = "", **fields: Any) -> SearchAnswer:
    """Find patterns; connections and the collection are those of Airflow, or of its environment variables.

    :param text: words, an identifier, a question or code
    :param target: a target of the targets file; empty for the one without a name
    :param fields: further fields of :class:`~code_patterns.search.query.SearchQuery`
    :raises WrongQueryError: a field is unknown or out of its bounds
    :raises PatternsError: a connection is missing, or a server cannot answer
    """
    return asyncio.run(asearch(text, target=target, **fields))


async def asearch(text: str = "", *, target: str = "", **fields: Any) -> SearchAnswer:
    """Find patterns from a coroutine; see :func:`search`."""
    query = SearchQuery.read({"text": text, **fields})
    # In a thread: importing Airflow and reading connections would block the event loop.
    found = await asyncio.to_thread(_configured, target)
    async with open_searcher(found.postgres, found.qdrant, found.embedding, found.collection, found.target) as searcher:
        return await searcher.search(query)


def _configured(target: str) -> Any:
    # Imported here: a program that has its own configurations needs no Airflow.
    from code_patterns.hooks.configured import configured_target

    return configured_target(target)
