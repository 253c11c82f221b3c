"""Read points with whole payloads from Qdrant, page by page."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.quality.payload import confidence_of
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_config import QdrantConfig


@dataclass(frozen=True, slots=True)
class Point:
    """One point as the backfill needs it.

    :param collection: its collection, as users write it
    :param pattern_id: its pattern, from :func:`pattern_id_of`
    :param payload: its payload; ``None`` if it has none
    """

    collection: str
    pattern_id: UUID
    payload: dict[str, Any] | None


def pattern_id_of(point_id: Any) -> UUID:
    """Return the id of a point's pattern: a uuid is kept, any other id becomes a uuid.

    The namespace is that of RFC 4122 for domain names. The collection is no part of the id: the same number in two
    collections is the same pattern.
    """
    if not isinstance(point_id, int):
        try:
            return UUID(str(point_id))
        except ValueError:
            pass
    return uuid5(NAMESPACE_DNS, f"qdrant-pattern-{point_id}")


class PointSource:
    """Collections as the backfill reads them.

    :param qdrant: the server
    :param collections: what to read, in this order
    """

    def __init__(self, qdrant: Qdrant, collections: Sequence[str]) -> None:
        self._qdrant = qdrant
        self._client = qdrant.client
        self.collections = tuple(collections)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: QdrantConfig, names: Sequence[str], *, only_existing: bool
    ) -> AsyncIterator["PointSource"]:
        """Connect and find the collections or aliases of these names.

        :param only_existing: leave out those that do not exist
        :raises ConfigurationError: Qdrant refuses to be read, or there is no such collection
        :raises OutageError: Qdrant cannot be reached, is too busy or fails
        """
        async with Qdrant.open(config) as qdrant:
            doing = "listing the collections"
            collections = await qdrant.call(doing, qdrant.client.get_collections)
            listed = await qdrant.call(doing, qdrant.client.get_aliases)
            present = {item.name for item in collections.collections}
            aliases = {item.alias_name: item.collection_name for item in listed.aliases}
            known = present | aliases.keys()
            missing = [name for name in names if name not in known]
            found = {aliases.get(name, name): name for name in reversed(names) if name in known}
            if not found or (missing and not only_existing):
                raise ConfigurationError(
                    Code.COLLECTION_MISSING,
                    f"Qdrant at {config.address} has no collection {_either(missing)}. It has: "
                    f"{', '.join(sorted(known)) or 'none at all'}. Choose one of these with the Param 'collection', "
                    "or correct the connection.",
                )
            yield cls(qdrant, [name for name in names if name in found.values()])

    async def count(self) -> int:
        """Count the points, whatever their confidence."""
        total = 0
        for name in self.collections:
            counted = await self._qdrant.call(f"counting in '{name}'", partial(self._client.count, name, exact=True))
            total += counted.count
        return total

    async def batches(self, size: int, min_confidence: float, limit: int | None) -> AsyncIterator[list[Point]]:
        """Read all points in batches, which may span two collections.

        :param size: points of a batch
        :param min_confidence: leave out points below this confidence
        :param limit: most points to return
        """
        batch: list[Point] = []
        left = limit
        for name in self.collections:
            async for page in self._pages(name, size, min_confidence):
                for point in page:
                    if left is not None and left <= 0:
                        break
                    batch.append(point)
                    left = None if left is None else left - 1
                    if len(batch) == size:
                        yield batch
                        batch = []
                if left is not None and left <= 0:
                    break
        if batch:
            yield batch

    async def _pages(self, name: str, size: int, min_confidence: float) -> AsyncIterator[list[Point]]:
        offset: Any = None
        while True:
            page = partial(
                self._client.scroll,
                name,
                scroll_filter=_surely_not_below(min_confidence),
                limit=size,
                offset=offset,
                with_payload=True,
                with_vectors=False,
            )
            records, offset = await self._qdrant.call(f"scrolling in '{name}'", page)
            yield [
                Point(name, pattern_id_of(record.id), record.payload)
                for record in records
                if confidence_of(record.payload) >= min_confidence
            ]
            if offset is None:
                return


def _surely_not_below(confidence: float) -> models.Filter | None:
    """Let Qdrant leave out numbers below; a confidence that is text is checked after reading."""
    if confidence <= 0:
        return None
    below = models.Range(lt=confidence)
    missing = models.IsEmptyCondition(is_empty=models.PayloadField(key="confidence"))
    one_value = models.FieldCondition(key="confidence", values_count=models.ValuesCount(lt=2))
    fallback = models.FieldCondition(key="pattern_confidence", range=below)
    neither = models.IsEmptyCondition(is_empty=models.PayloadField(key="pattern_confidence"))
    return models.Filter(
        must_not=[
            models.Filter(must=[models.FieldCondition(key="confidence", range=below), one_value]),
            models.Filter(must=[missing, fallback]),
            models.Filter(must=[missing, neither]),
        ]
    )


def _either(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
