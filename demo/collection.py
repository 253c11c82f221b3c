"""The collection as its readers see it: search it, and compare it with the table without the sync's code."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from qdrant_client import AsyncQdrantClient
from qdrant_client.models import ScoredPoint

from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from demo import HOME
from demo.installation import code_contents

STORAGE = HOME / "qdrant"
ALIAS = "code_patterns"
DIMENSION = 768
_PAGE = 1000


@dataclass(frozen=True)
class Hit:
    """One result of a search.

    :param id: the row's id
    :param score: cosine similarity
    :param pattern_name: the function or class
    :param file_path: its file
    :param pattern_version: its version
    """

    id: UUID
    score: float
    pattern_name: str
    file_path: str
    pattern_version: str


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


def search(question: str, limit: int) -> list[Hit]:
    """Search the collection for the patterns nearest to a question."""
    return asyncio.run(_search(question, limit))


def compare(database: PostgresConfig) -> Comparison:
    """Compare every row with its point, without the sync's own hashes."""
    return asyncio.run(_compare(code_contents(database)))


async def _search(question: str, limit: int) -> list[Hit]:
    embedder = open_embedder(
        EmbeddingConfig(conn_id="patterns_embeddings", api="hashing", model="hashing", dimension=DIMENSION)
    )
    client = await _open()
    try:
        vector = await embedder.embed_query(question)
        answer = await client.query_points(ALIAS, query=vector.tolist(), limit=limit, with_payload=True)
        return [_hit(point) for point in answer.points]
    finally:
        await client.close()
        await embedder.aclose()


async def _compare(rows: dict[UUID, dict[str, Any]]) -> Comparison:
    client = await _open()
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


def _hit(point: ScoredPoint) -> Hit:
    payload = point.payload or {}
    return Hit(
        id=UUID(str(point.id)),
        score=point.score,
        pattern_name=payload["pattern_name"],
        file_path=payload["file_path"],
        pattern_version=payload["pattern_version"],
    )


async def _open() -> AsyncQdrantClient:
    return await open_client(QdrantConfig(conn_id="patterns_qdrant", path=str(STORAGE)))
