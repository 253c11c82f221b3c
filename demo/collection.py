"""The collection as its readers see it: search it, and compare it with the table without the sync's code."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.search import Hit, Searcher, SearchQuery, open_searcher
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from demo import HOME
from demo.installation import code_contents

STORAGE = HOME / "qdrant"
ALIAS = "code_patterns"
DIMENSION = 384
"""As long as the vectors of small models: the storage is read whole whenever it is opened."""
_PAGE = 1000
_QDRANT = QdrantConfig(conn_id="patterns_qdrant", path=str(STORAGE))


@dataclass(frozen=True)
class Comparison:
    """Rows and points side by side.

    :param rows: code rows of the table
    :param points: points of the collection
    :param missing: rows without a point
    :param orphaned: points without a row
    :param different: points whose name, path, code or metadata is not the row's
    """

    rows: int
    points: int
    missing: int
    orphaned: int
    different: int

    @property
    def agrees(self) -> bool:
        """Whether both sides hold the same."""
        return not (self.missing or self.orphaned or self.different)


def search(database: PostgresConfig, question: str, limit: int) -> Sequence[Hit]:
    """Search the collection, the best hit first.

    :raises BusyStorageError: another process has the storage open
    """

    async def once() -> Sequence[Hit]:
        async with searcher_of(database) as searcher:
            return (await searcher.search(SearchQuery(text=question, limit=limit))).hits

    return asyncio.run(once())


@asynccontextmanager
async def searcher_of(database: PostgresConfig) -> AsyncIterator[Searcher]:
    """Open a searcher of the collection."""
    embedding = EmbeddingConfig("patterns_embeddings", api="hashing", model="hashing", dimension=DIMENSION)
    async with open_searcher(database, _QDRANT, embedding, ALIAS) as searcher:
        yield searcher


def compare(database: PostgresConfig) -> Comparison:
    """Compare every row with its point, without the sync's own hashes."""
    return asyncio.run(_compare(code_contents(database)))


async def _compare(rows: dict[UUID, dict[str, Any]]) -> Comparison:
    client = await open_client(_QDRANT)
    points: dict[UUID, dict[str, Any]] = {}
    try:
        offset = None
        while True:
            page, offset = await client.scroll(ALIAS, limit=_PAGE, offset=offset, with_payload=True)
            points.update({UUID(str(point.id)): point.payload or {} for point in page})
            if offset is None:
                break
    finally:
        await client.close()
    return Comparison(
        rows=len(rows),
        points=len(points),
        missing=len(rows.keys() - points.keys()),
        orphaned=len(points.keys() - rows.keys()),
        different=sum(
            any(points[node_id].get(key) != value for key, value in row.items())
            for node_id, row in rows.items()
            if node_id in points
        ),
    )
