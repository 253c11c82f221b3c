"""Read the points that a collection has in Qdrant."""

from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_client import models

from code_patterns.embeddings.base import Vectors
from code_patterns.embeddings.words import WORDS, Words
from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import Fingerprint, IdRange, PointId
from code_patterns.sync.identity import Witness
from code_patterns.sync.pattern import (
    CONTENT_HASH,
    EMBEDDING_HASH,
    PAYLOAD_KEYS,
    SYNC_TIMESTAMP,
    TRUNCATED,
    WORDS_HASH,
)
from code_patterns.sync.wordless import Wordless, wordless_among

SCROLL_POINTS = 1000
_HASHES = [EMBEDDING_HASH, CONTENT_HASH, WORDS_HASH, TRUNCATED]

OTHERS = models.PayloadSelectorExclude(exclude=[*PAYLOAD_KEYS])
"""Selects the payload keys that the sync does not write."""
KeysOfOthers = Mapping[Any, Mapping[str, Any]]
"""Payload keys that the sync does not write, by id of the point as Qdrant gives it."""


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A whole point.

    :param id: its id
    :param payload: its payload
    :param vector_usable: whether its vector has the right length, is finite and not zero
    :param words: its words, if it has any
    """

    id: PointId
    payload: Mapping[str, Any]
    vector_usable: bool
    words: Words | None


class StoredPoints:
    """The points of one collection; none while it does not exist.

    :param qdrant: the open Qdrant
    :param collection: the collection
    """

    def __init__(self, qdrant: Qdrant, collection: Collection) -> None:
        self._points = AgreedPoints(qdrant, collection)
        self._collection = collection

    async def lacks(self, last: Witness) -> bool:
        """Whether the collection cannot be the one that a run left behind.

        :param last: what that run wrote last. After a deletion only an empty collection is known: one from before the
            point was written lacks it too.
        """
        if last.written_at is None:
            return await self.count() > 0
        found = await self._written_at(last.id)
        return found is None or found < last.written_at

    async def _written_at(self, node_id: UUID) -> datetime | None:
        """When a point was written; ``None`` if there is none, or something else wrote it."""
        if not self._collection.stored:
            return None
        records = await self._points.by_id(
            f"reading a point of '{self._collection.physical}'", [str(node_id)], [SYNC_TIMESTAMP]
        )
        stamp = (records[0].payload or {}).get(SYNC_TIMESTAMP) if records else None
        try:
            written = datetime.fromisoformat(str(stamp))
        except ValueError:
            return None
        return written if written.tzinfo else None

    async def fingerprints(self, ids: Sequence[UUID]) -> dict[UUID, Fingerprint]:
        """The hashes of these points; ids that Qdrant does not have are absent."""
        if not self._collection.stored or not ids:
            return {}
        records = await self._points.by_id(
            f"reading points of '{self._collection.physical}'", [str(node_id) for node_id in ids], _HASHES
        )
        wordless = await wordless_among(self._points, [str(record.id) for record in records])
        return {UUID(str(record.id)): fingerprint_of(record, wordless) for record in records}

    async def pages(self, within: IdRange | None = None) -> AsyncIterator[list[Fingerprint]]:
        """Points in id order.

        :param within: only UUIDs of this range; ``None`` for all, integers first, then UUIDs
        """
        offset: Any = str(within.first) if within else None
        wordless = Wordless(self._points, offset)
        while self._collection.stored:
            records, offset = await self._points.page(
                f"scrolling through '{self._collection.physical}'", SCROLL_POINTS, offset, payload=_HASHES
            )
            without = await wordless.among(records)
            page = [fingerprint_of(record, without) for record in records]
            wanted = [point for point in page if within is None or _is_within(point.id, within)]
            if wanted:
                yield wanted
            if offset is None or len(wanted) < len(page):
                return

    async def count(self) -> int:
        """How many points there are."""
        return await self._points.count() if self._collection.stored else 0

    async def replicas_agree(self) -> bool:
        """See :meth:`~code_patterns.sync.agreed_points.AgreedPoints.replicas_agree`."""
        return not self._collection.stored or await self._points.replicas_agree()


async def keys_of_others(qdrant: Qdrant, collection: str, ids: Sequence[Any]) -> KeysOfOthers:
    """Payload keys that the sync does not write; points that the collection does not have are absent.

    :param collection: the real collection
    :param ids: ids as Qdrant takes them
    """
    if not ids:
        return {}
    records = await qdrant.call(
        f"reading payloads of '{collection}'",
        lambda: qdrant.client.retrieve(collection, ids=ids, with_payload=OTHERS, with_vectors=False),
    )
    return {record.id: record.payload or {} for record in records}


def fingerprint_of(record: models.Record, wordless: Container[Any]) -> Fingerprint:
    """The hashes of a point, if it has any.

    :param wordless: ids of points without words, as Qdrant gives them
    """
    payload = record.payload or {}
    return Fingerprint(
        _point_id(record),
        payload.get(EMBEDDING_HASH),
        payload.get(CONTENT_HASH),
        None if record.id in wordless else payload.get(WORDS_HASH),
        payload.get(TRUNCATED) is True,
    )


def stored_point_of(record: models.Record, dimension: int) -> StoredPoint:
    """The whole point.

    :param dimension: the right length of its vector
    """
    usable = usable_vector_of(record, dimension) is not None
    return StoredPoint(_point_id(record), record.payload or {}, usable, words_of_point(record))


def usable_vector_of(record: models.Record, dimension: int) -> Vectors | None:
    """The unnamed vector of a point, if it has the right length, is finite and not zero.

    :param dimension: the right length
    """
    dense = dense_of(record)
    usable = dense is not None and dense.shape == (dimension,) and np.isfinite(dense).all() and dense.any()
    return dense if usable else None


def dense_of(record: models.Record) -> Vectors | None:
    """The unnamed vector of a point that was read with its vectors; beside words it stands in a mapping."""
    vector = record.vector.get("") if isinstance(record.vector, Mapping) else record.vector
    return np.asarray(vector, dtype=np.float32) if isinstance(vector, list) else None


def words_of_point(record: models.Record) -> Words | None:
    """The words of a point that was read with its vectors, in the order of their ids."""
    words = record.vector.get(WORDS) if isinstance(record.vector, Mapping) else None
    if not isinstance(words, models.SparseVector):
        return None
    indices = np.asarray(words.indices, dtype=np.uint32)
    order = np.argsort(indices)
    return Words(indices[order], np.asarray(words.values, dtype=np.float32)[order])


def _point_id(record: models.Record) -> PointId:
    return record.id if isinstance(record.id, int) else UUID(str(record.id))


def _is_within(node_id: PointId, within: IdRange) -> bool:
    return isinstance(node_id, UUID) and within.first <= node_id <= within.last
