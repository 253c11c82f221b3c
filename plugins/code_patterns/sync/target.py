"""Write points to Qdrant; wait for every write and check its status."""

import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.embeddings.base import Vectors
from code_patterns.embeddings.words import WORDS
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.servers.grpc_payloads import UncarriedPayloadError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_errors import RefusedRequestError
from code_patterns.sync.collection import Collection, assert_same, read_stored
from code_patterns.sync.diff import FIRST_ID, PointId
from code_patterns.sync.identity import Witness
from code_patterns.sync.pattern import (
    EMBEDDING_HASH,
    SYNC_TIMESTAMP,
    TRUNCATED,
    WORDS_HASH,
    Pattern,
    words_of_patterns,
)
from code_patterns.sync.stored_points import keys_of_others

MAX_REQUEST_BYTES = 24 * 1024 * 1024
"""Largest request body, unless a single point is larger; Qdrant's default limit is 32 MiB."""


class PointRejectedError(PatternsError):
    """Qdrant works but refuses these points.

    :param message: for people
    :param certain: whether nothing else can be the cause, so that it may be true of many patterns
    """

    def __init__(self, message: str, *, certain: bool = False) -> None:
        super().__init__(Code.POINT_REFUSED, message)
        self.certain = certain


class PatternTarget:
    """Writes the points of one collection.

    :param qdrant: the open Qdrant
    :param collection: the collection
    """

    def __init__(self, qdrant: Qdrant, collection: Collection) -> None:
        self.qdrant = qdrant
        self._client = qdrant.client
        self.collection = collection
        self._last_write: Witness | None = None
        self._survivor: UUID | None = None

    @property
    def last_write(self) -> Witness | None:
        """The point that was written or deleted last, if it has a UUID; ``None`` before the first."""
        return self._last_write

    async def upsert(self, patterns: Sequence[Pattern], vectors: Vectors) -> None:
        """Write whole points, which the collection does not have yet: an upsert replaces the payload.

        A point on which the replicas of a cluster disagree counts as absent. It keeps the keys of others.

        :param patterns: what to store
        :param vectors: their vectors, shape (len(patterns), dimension)
        :raises PointRejectedError: Qdrant refuses these points
        """
        now = datetime.now(UTC)
        stamp = {SYNC_TIMESTAMP: now.isoformat()}
        ids = [str(pattern.id) for pattern in patterns] if self.collection.replicated else []
        others = await keys_of_others(self.qdrant, self.collection.physical, ids)
        points = [
            _encoded(
                {
                    "id": str(pattern.id),
                    "vector": vector,
                    "payload": {**others.get(str(pattern.id), {}), **pattern.payload, **stamp},
                }
            )
            for pattern, vector in zip(patterns, _all_vectors(patterns, vectors), strict=True)
        ]
        for part in request_parts([len(point) for point in points]):
            body = b'{"points":[%b]}' % b",".join(points[part])
            await self._write_points("upserting points", lambda body=body: self._put(body))  # type: ignore[misc]
        self._wrote(patterns, now)

    async def update(self, patterns: Sequence[Pattern], vectors: Vectors) -> None:
        """Write vectors and payloads of points that the collection has; payload keys of others stay.

        Qdrant merges the keys itself, so that nothing is lost that somebody writes at the same moment.

        :param patterns: what to store
        :param vectors: their vectors, shape (len(patterns), dimension)
        :raises PointRejectedError: Qdrant refuses these points
        """
        # Merging would keep the mark of a vector that was made only of the text's beginning.
        await self._rewrite(patterns, _all_vectors(patterns, vectors), [EMBEDDING_HASH, TRUNCATED])

    async def set_words(self, patterns: Sequence[Pattern]) -> None:
        """Write words and payloads, and keep the vectors; payload keys of others stay.

        :param patterns: what to store, in a collection with words
        :raises PointRejectedError: Qdrant refuses these points
        """
        await self._rewrite(patterns, [{WORDS: words} for words in words_of_patterns(patterns)], [WORDS_HASH])

    async def _rewrite(self, patterns: Sequence[Pattern], vectors: Sequence[Any], claims: Sequence[str]) -> None:
        """Write some of the vectors, and the payloads, of points that the collection has.

        Qdrant does the operations of a request one after the other, and may come to a stop between two. So the payload
        says of no vector what it is made of, from before that is written until the end: the next run writes the point
        again, even if its row is what it was before, and nobody copies its vector meanwhile.

        :param vectors: of each pattern, as Qdrant takes them; a vector that is not named stays
        :param claims: the payload keys that say what these vectors are made of
        """
        now = datetime.now(UTC)
        points = [
            _encoded({"id": str(pattern.id), "vector": vector})
            for pattern, vector in zip(patterns, vectors, strict=True)
        ]
        payloads = await self._payload_operations(patterns, now)
        for part in request_parts([len(point) + len(payload) for point, payload in zip(points, payloads, strict=True)]):
            ids = [str(pattern.id) for pattern in patterns[part]]
            await self._operate(
                "updating points",
                [
                    orjson.dumps({"delete_payload": {"keys": claims, "points": ids}}),
                    b'{"update_vectors":{"points":[%b]}}' % b",".join(points[part]),
                    *payloads[part],
                ],
            )
        self._wrote(patterns, now)

    async def set_payloads(self, patterns: Sequence[Pattern]) -> None:
        """Write payloads and keep the vectors; payload keys of others stay.

        :raises PointRejectedError: Qdrant refuses these payloads
        """
        now = datetime.now(UTC)
        payloads = await self._payload_operations(patterns, now)
        for part in request_parts([len(payload) for payload in payloads]):
            await self._operate("writing payloads", payloads[part])
        self._wrote(patterns, now)

    async def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points by id."""
        if not ids:
            return
        selector = models.PointIdsList(
            points=[node_id if isinstance(node_id, int) else str(node_id) for node_id in ids]
        )
        await self._write("deleting points", lambda: self._delete(selector))
        if isinstance(ids[-1], UUID):
            self._last_write = Witness(ids[-1], None)
        if self._survivor in ids:
            self._survivor = None

    async def mark_survivor(self) -> None:
        """After a deletion, write the time to a point that is left, if one is: it becomes the last write.

        A point that this run wrote is marked, or any point if it wrote none.
        """
        if self._last_write is None or self._last_write.written_at is not None:
            return
        if node_id := self._survivor or await self._any_point():
            self._last_write = await self._marked(node_id)

    async def mark_other(self, ids: Sequence[UUID]) -> Witness | None:
        """Before a deletion, write the time to a point that stays, if one does.

        :param ids: the points that are about to be deleted
        """
        node_id = await self._any_point(ids)
        return await self._marked(node_id) if node_id else None

    async def _marked(self, node_id: UUID) -> Witness:
        now = datetime.now(UTC)
        await self._write("marking a point", lambda: self._stamp(node_id, now))
        return Witness(node_id, now)

    def _wrote(self, patterns: Sequence[Pattern], now: datetime) -> None:
        if patterns:
            self._last_write = Witness(patterns[-1].id, now)
            self._survivor = patterns[-1].id

    async def _payload_operations(self, patterns: Sequence[Pattern], now: datetime) -> list[bytes]:
        """Encode one operation for each payload.

        Merging removes a key whose new value is null, and readers rely on the key. Such a payload replaces the present
        one, together with the keys of others that were read just before.
        """
        stamp = {SYNC_TIMESTAMP: now.isoformat()}
        with_nulls = [str(pattern.id) for pattern in patterns if None in pattern.payload.values()]
        others = await keys_of_others(self.qdrant, self.collection.physical, with_nulls)
        return [
            orjson.dumps(
                {
                    "overwrite_payload" if str(pattern.id) in others else "set_payload": {
                        "payload": {**others.get(str(pattern.id), {}), **pattern.payload, **stamp},
                        "points": [str(pattern.id)],
                    }
                }
            )
            for pattern in patterns
        ]

    async def _operate(self, doing: str, operations: Sequence[bytes]) -> None:
        body = b'{"operations":[%b]}' % b",".join(operations)
        await self._write_points(doing, lambda: self.qdrant.update_points(self.collection.physical, body))

    async def _any_point(self, but: Sequence[UUID] = ()) -> UUID | None:
        others = models.Filter(must_not=[models.HasIdCondition(has_id=[str(node_id) for node_id in but])])
        records, _ = await self.qdrant.call(
            f"looking for a point of '{self.collection.physical}'",
            lambda: self._client.scroll(
                self.collection.physical,
                scroll_filter=others if but else None,
                limit=1,
                offset=str(FIRST_ID),
                with_payload=False,
                with_vectors=False,
            ),
        )
        return UUID(str(records[0].id)) if records else None

    async def _stamp(self, node_id: UUID, now: datetime) -> Sequence[models.UpdateResult]:
        stamp = {SYNC_TIMESTAMP: now.isoformat()}
        name = self.collection.physical
        return [await self._client.set_payload(name, payload=stamp, points=[str(node_id)], wait=True)]

    async def _put(self, body: bytes) -> Sequence[models.UpdateResult]:
        return [await self.qdrant.put_points(self.collection.physical, body)]

    async def _update(self, point: models.PointStruct) -> Sequence[models.UpdateResult]:
        mode = models.UpdateMode.UPDATE_ONLY
        return [await self._client.upsert(self.collection.physical, points=[point], wait=True, update_mode=mode)]

    async def _delete(self, selector: models.PointIdsList) -> Sequence[models.UpdateResult]:
        return [await self._client.delete(self.collection.physical, points_selector=selector, wait=True)]

    async def _write(self, doing: str, request: Callable[[], Awaitable[Sequence[models.UpdateResult]]]) -> None:
        """Send a write and check that it is done, not only accepted."""

        async def completed() -> None:
            for result in await request():
                if result.status != models.UpdateStatus.COMPLETED:
                    raise OutageError(
                        Code.WRITE_NOT_COMPLETED,
                        f"Qdrant at {self.qdrant.config.address} answered '{result.status.value}' instead of "
                        "'completed' to a write that was to be waited for; the batch does not count as stored and "
                        "will be tried again.",
                    )

        await self.qdrant.call(f"{doing} of '{self.collection.physical}'", completed)

    async def _write_points(self, doing: str, request: Callable[[], Awaitable[Sequence[models.UpdateResult]]]) -> None:
        try:
            await self._write(doing, request)
        except UncarriedPayloadError as refusal:
            raise PointRejectedError(refusal.message, certain=True) from None
        except RefusedRequestError as refusal:
            await self._probe(refusal)
            raise PointRejectedError(refusal.message) from None

    async def _probe(self, refusal: RefusedRequestError) -> None:
        """Find out whether the points or the collection cause a refusal, by a harmless point.

        The harmless point is sent as an update of a point that does not exist, which stores nothing. Servers before
        1.17 do not know that and store it, so it is deleted too.

        :param refusal: how the real write was refused
        :raises ConfigurationError: the collection refuses every point
        :raises CollectionLostError: it is no longer the one that the run found
        """
        # Points do not fit a collection that was exchanged meanwhile; the next try finds out what it leads to. The
        # harmless point would not show it: a server looks at the names of vectors only when it stores some.
        assert_same(self.qdrant, self.collection, await read_stored(self.qdrant, self.collection.physical))
        node_id = str(uuid.uuid4())
        dimension = self.collection.embedding.dimension
        dense = [1.0] * dimension
        words = models.SparseVector(indices=[0], values=[1.0])
        vector: models.VectorStruct = {"": dense, WORDS: words} if self.collection.words else dense
        point = models.PointStruct(id=node_id, vector=vector, payload={})
        try:
            await self._write("trying a harmless point", lambda: self._update(point))
            await self._write("deleting points", lambda: self._delete(models.PointIdsList(points=[node_id])))
        except ConfigurationError:
            raise ConfigurationError(
                Code.EVERY_POINT_REFUSED,
                f"{refusal.message} It refuses a harmless point too, so no pattern is at fault. Raise the collection's "
                f"limits (strict mode), or see what its configuration has against points of {dimension} dimensions.",
            ) from None


def _all_vectors(patterns: Sequence[Pattern], dense: Vectors) -> list[Any]:
    """All vectors of each point; a plain one would remove the words."""
    return [
        vector if words is None else {"": vector, WORDS: words}
        for vector, words in zip(dense, words_of_patterns(patterns), strict=True)
    ]


def _encoded(value: Any) -> bytes:
    # Words are a dataclass whose fields have the names that Qdrant gives them.
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def request_parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Cut a batch so that no request is larger than :data:`MAX_REQUEST_BYTES`; a single point is never cut.

    :param sizes: bytes of each point's JSON
    """
    start, total = 0, 0
    for index, size in enumerate(sizes):
        if index > start and total + size > MAX_REQUEST_BYTES:
            yield slice(start, index)
            start, total = index, 0
        total += size
    if sizes:
        yield slice(start, len(sizes))
