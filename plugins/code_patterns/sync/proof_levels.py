"""How closely a proof compares a point: its hashes, or all of it."""

import math
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Container, Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import orjson
from qdrant_client import models

from code_patterns.embeddings.words import Words
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.diff import Fingerprint, IdRange
from code_patterns.sync.digests import Hashes
from code_patterns.sync.findings import Flaw
from code_patterns.sync.pattern import CONTENT_HASH, EMBEDDING_HASH, WORDS_HASH, Pattern, words_of_patterns
from code_patterns.sync.stored_points import StoredPoint, fingerprint_of, stored_point_of
from code_patterns.sync.streams import HasId
from code_patterns.sync.wordless import Wordless

SCROLL_POINTS = 2_000
WHOLE_POINTS = 100

Point = TypeVar("Point", bound=HasId)


class Level(Protocol[Point]):
    """What is read of a point, and what is wrong with it.

    :cvar whole: whether it reads all that a point has
    """

    whole: ClassVar[bool]

    def pages(self, within: IdRange) -> AsyncGenerator[list[Point]]:
        """The points of an id range, in id order."""

    def flaws(self, pairs: Sequence[tuple[Pattern, Point]]) -> list[Flaw | None]:
        """What is wrong with the point of each pattern; ``None`` if nothing."""


class HashLevel:
    """The hashes of a point, and whether it has words.

    :param points: how to read the collection
    """

    whole: ClassVar[bool] = False

    def __init__(self, points: AgreedPoints) -> None:
        self._points = points

    async def pages(self, within: IdRange) -> AsyncGenerator[list[Fingerprint]]:
        """See :meth:`Level.pages`."""
        async for records, without in self._records(within):
            yield [fingerprint_of(record, without) for record in records]

    async def hashes(self, within: IdRange) -> AsyncGenerator[list[Hashes]]:
        """The same as tuples: making a :class:`Fingerprint` of each point would take longer than reading it."""
        async for records, without in self._records(within):
            page: list[Hashes] = []
            for record in records:
                payload = record.payload or {}
                words_hash = None if record.id in without else payload.get(WORDS_HASH)
                page.append((str(record.id), payload.get(EMBEDDING_HASH), payload.get(CONTENT_HASH), words_hash))
            yield page

    async def _records(self, within: IdRange) -> AsyncIterator[tuple[list[models.Record], Container[Any]]]:
        """Pages of points, and the ids of those without words."""
        keys = [EMBEDDING_HASH, CONTENT_HASH, WORDS_HASH]
        wordless = Wordless(self._points, str(within.first))
        async for records in _scrolled(self._points, within, SCROLL_POINTS, keys, vectors=False):
            yield records, await wordless.among(records)

    def flaws(self, pairs: Sequence[tuple[Pattern, Fingerprint]]) -> list[Flaw | None]:
        """See :meth:`Level.flaws`."""
        return [self._flaw(pattern, point) for pattern, point in pairs]

    def _flaw(self, pattern: Pattern, point: Fingerprint) -> Flaw | None:
        if (point.embedding_hash, point.content_hash) != (pattern.embedding_hash, pattern.content_hash):
            return Flaw.EDITED
        return None if point.words_hash == pattern.words_hash else Flaw.WORDS


class WholeLevel:
    """Payload, vector and words, many times the bytes of the hashes.

    It does not find a wrong vector of the right length that is not zero: that would need embedding every text again.

    :param points: how to read the collection
    """

    whole: ClassVar[bool] = True

    def __init__(self, points: AgreedPoints) -> None:
        self._points = points

    async def pages(self, within: IdRange) -> AsyncGenerator[list[StoredPoint]]:
        """See :meth:`Level.pages`."""
        dimension = self._points.collection.embedding.dimension
        async for records in _scrolled(self._points, within, WHOLE_POINTS, True, vectors=True):
            yield [stored_point_of(record, dimension) for record in records]

    def flaws(self, pairs: Sequence[tuple[Pattern, StoredPoint]]) -> list[Flaw | None]:
        """See :meth:`Level.flaws`; keys that something else added to a payload are ignored."""
        words = words_of_patterns([pattern for pattern, _ in pairs])
        return [self._flaw(pattern, point, wanted) for (pattern, point), wanted in zip(pairs, words, strict=True)]

    def _flaw(self, pattern: Pattern, point: StoredPoint, words: Words | None) -> Flaw | None:
        stored = {key: point.payload.get(key) for key in pattern.payload}
        if _encoded(stored) != _encoded(pattern.payload) and not _alike(pattern.payload, stored):
            return Flaw.EDITED
        if not point.vector_usable:
            return Flaw.VECTOR
        return None if same_words(words, point.words) else Flaw.WORDS


async def _scrolled(
    points: AgreedPoints, within: IdRange, size: int, payload: bool | list[str], *, vectors: bool
) -> AsyncIterator[list[models.Record]]:
    offset: Any = str(within.first)
    last = str(within.last)
    while points.collection.stored and offset is not None:
        records, offset = await points.page(
            f"proving '{points.collection.physical}'", size, offset, payload=payload, vectors=vectors
        )
        wanted = bisect_right(records, last, key=attrgetter("id"))
        if wanted:
            yield records[:wanted]
        if wanted < len(records) or (offset is not None and str(offset) > last):
            return


def same_words(wanted: Words | None, found: Words | None) -> bool:
    """Whether a point has the words of its pattern; a collection without words has none to compare."""
    if wanted is None:
        return True
    return (
        found is not None
        and np.array_equal(wanted.indices, found.indices)
        and np.allclose(wanted.values, found.values, rtol=1e-5)
    )


def _encoded(payload: Mapping[str, Any]) -> bytes:
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def _alike(wanted: Any, found: Any) -> bool:
    """Whether two JSON values agree, except for the last digits of fractions, and of whole numbers over gRPC.

    Qdrant's JSON parser (serde_json without its feature float_roundtrip) reads about one in ten numbers of 17 digits up
    to two units in the last place away. A whole number from 2^63 on is a fraction over gRPC.
    """
    if isinstance(wanted, int) and wanted >= 2**63 and isinstance(found, float):
        wanted = float(wanted)
    if isinstance(wanted, float) and isinstance(found, float):
        return math.isclose(wanted, found, rel_tol=1e-14)
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return wanted.keys() == found.keys() and all(_alike(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_alike, wanted, found))
    return type(wanted) is type(found) and bool(wanted == found)
