"""Find the points that have no words.

The hash in a payload says which words a point should have, not that it has them: a plain vector that something else
writes removes them and leaves no trace. Qdrant finds such points by a filter, without sending any vector.
"""

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from code_patterns.embeddings.words import WORDS
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.collection import Collection

PAGE_POINTS = 1_000
_HAS_WORDS = models.HasVectorCondition(has_vector=WORDS)


class Wordless:
    """The points without words, read beside pages of all points.

    :param points: how to read the collection
    :param start: where the pages start; ``None`` for the first point
    """

    def __init__(self, points: AgreedPoints, start: Any = None) -> None:
        self._points = points
        self._offset = start
        self._ended = False
        self._read: list[models.Record] = []

    async def among(self, page: Sequence[models.Record]) -> frozenset[Any]:
        """Ids of the points of a page that have no words.

        :param page: points in id order, all of them beyond those of the last page
        """
        if not page or not has_words(self._points.collection):
            return frozenset(record.id for record in page)
        last = _order(page[-1].id)
        while not self._ended and (not self._read or _order(self._read[-1].id) < last):
            await self._read_more()
        found = [record.id for record in self._read if _order(record.id) <= last]
        self._read = self._read[len(found) :]
        return frozenset(found)

    async def _read_more(self) -> None:
        records, self._offset = await self._points.page(
            _doing(self._points),
            PAGE_POINTS,
            self._offset,
            payload=False,
            where=models.Filter(must_not=[_HAS_WORDS]),
        )
        self._read += records
        self._ended = self._offset is None


async def wordless_among(points: AgreedPoints, ids: Sequence[str]) -> frozenset[Any]:
    """Which of these points have no words.

    :param points: how to read the collection
    :param ids: any ids, as Qdrant takes them
    """
    if not ids or not has_words(points.collection):
        return frozenset(ids)
    these = models.Filter(must=[models.HasIdCondition(has_id=[*ids])], must_not=[_HAS_WORDS])
    records, _ = await points.page(_doing(points), len(ids), None, payload=False, where=these)
    return frozenset(record.id for record in records)


def _doing(points: AgreedPoints) -> str:
    return f"looking for points of '{points.collection.physical}' without words"


def has_words(collection: Collection) -> bool:
    """Whether some points of a collection may have words now."""
    return collection.stored is not None and collection.stored.words


def _order(node_id: Any) -> tuple[bool, Any]:
    """Qdrant's order of ids: integers first, then UUIDs, whose text has the order of their numbers."""
    return isinstance(node_id, str), node_id
