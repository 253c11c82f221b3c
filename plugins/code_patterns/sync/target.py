"""Reading and writing points in Qdrant: every write is waited for, and its status checked."""

import hashlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from code_patterns.embeddings.base import Vectors
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.qdrant import BusyError, QdrantConfig, explain, is_unreachable, open_client
from code_patterns.sync.pattern import CONTENT_HASH, EMBEDDING_HASH, SYNC_TIMESTAMP, Pattern
from code_patterns.sync.plan import Fingerprint, PointId

log = logging.getLogger(__name__)

SCROLL_POINTS = 1000
ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
"""Longest wait before the second attempt; doubles with each one, up to 8 seconds."""
LONGEST_ASKED_WAIT_SECONDS = 30.0
"""No wait is longer, whatever ``Retry-After`` says."""
MAX_REQUEST_BYTES = 24 * 1024 * 1024
"""Largest request body aimed at; Qdrant's default limit is 32 MiB."""
VECTOR_NUMBER_BYTES = 22
"""Upper bound for one number of a vector in JSON, comma included."""
METADATA_KEY = "code_patterns"

Result = TypeVar("Result")


class PointRejectedError(PatternsError):
    """Qdrant works but will not store these very points."""


class CollectionLostError(OutageError):
    """What this run reads or writes was taken away, or replaced, by something else; the next try looks again."""


@dataclass(frozen=True)
class TargetCollection:
    """The collection a run reads and writes.

    :param name: what users call it: an alias, or a collection of their own
    :param physical: the real collection
    :param identity: tells this collection from another one of the same name
    :param exists: whether it is there yet
    :param outdated: the collection made by another recipe that readers of ``name`` see until this one is published;
        a user's own collection, which no alias stands before, is its own predecessor
    """

    name: str
    physical: str
    identity: str
    exists: bool
    outdated: str | None = None


class PatternTarget:
    """One Qdrant collection of patterns.

    :param config: where Qdrant is
    :param client: an open client
    :param name: the alias or collection, as users write it
    :param recipe: how its vectors are made, from :func:`~code_patterns.sync.pattern.recipe_of`
    :param dimension: length of its vectors
    """

    def __init__(self, config: QdrantConfig, client: AsyncQdrantClient, name: str, recipe: str, dimension: int) -> None:
        self.config = config
        self._client = client
        self._name = name
        self._recipe = recipe
        self._dimension = dimension
        digest = hashlib.blake2b(recipe.encode(), digest_size=4).hexdigest()
        self._own_physical = f"{name}__{digest}"
        self.collection = TargetCollection(name, self._own_physical, "", exists=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, config: QdrantConfig, name: str, recipe: str, dimension: int) -> AsyncIterator["PatternTarget"]:
        """Connect and find the collection; creates nothing.

        :raises ConfigurationError: Qdrant cannot be reached or read, or the collection does not fit
        """
        client = await open_client(config)
        try:
            target = cls(config, client, name, recipe, dimension)
            await target.resolve()
            yield target
        finally:
            await client.close()

    async def resolve(self) -> None:
        """Find the collection that a run reads and writes now; creates nothing.

        :raises ConfigurationError: Qdrant cannot be reached or read, or the collection does not fit
        :raises OutageError: Qdrant is there but too busy or failing
        """
        self.collection = TargetCollection(self._name, self._own_physical, "", exists=False)
        try:
            names = {item.name for item in (await self._client.get_collections()).collections}
            aliases = {item.alias_name: item.collection_name for item in (await self._client.get_aliases()).aliases}
            current = self._name if self._name in names else aliases.get(self._name)
            if current is not None:
                await self._adopt(current, real=current == self._name)
            if not self.collection.exists and self.collection.physical in names:
                info = await self._client.get_collection(self.collection.physical)
                identity = _described(info)[0] or self.collection.physical
                self.collection = replace(self.collection, exists=True, identity=identity)
        except Exception as error:
            reason = explain(self.config, f"looking for the collection '{self._name}'", error)
            if is_unreachable(error):
                # At the start of a run nothing is lost by asking a person first, and waiting would hide the reason.
                reason = ConfigurationError(str(reason))
            raise reason from None

    async def _adopt(self, physical: str, *, real: bool) -> None:
        info = await self._client.get_collection(physical)
        identity, recipe = _described(info)
        vectors = info.config.params.vectors
        if not isinstance(vectors, models.VectorParams):
            raise ConfigurationError(
                f"The Qdrant collection '{physical}' of {self.config.place} has named vectors; the sync needs one "
                f"unnamed vector of {self._dimension} dimensions with cosine distance. Set the Variable "
                "'patterns_collection' to another name."
            )
        if real and vectors.size != self._dimension:
            raise ConfigurationError(
                f"The Qdrant collection '{physical}' of {self.config.place} holds vectors of {vectors.size} "
                f"dimensions, the embedding connection makes {self._dimension}. Correct 'model' and 'dimension' "
                "in the embedding connection's extra, or rename the collection: the full sync then builds a new one. "
                "Nothing was changed."
            )
        fits = vectors.size == self._dimension and recipe in (None, self._recipe)
        if real or fits:
            self.collection = TargetCollection(self._name, physical, identity or physical, exists=True)
        if not fits:
            self.collection = replace(self.collection, outdated=physical)

    async def prepare(self) -> None:
        """Create the collection, and its alias where the name is free; describe an existing one."""
        identity = uuid.uuid4().hex
        described = {METADATA_KEY: {"identity": identity, "recipe": self._recipe}}
        physical = self.collection.physical
        if not self.collection.exists:
            log.info("Creating the Qdrant collection '%s' for '%s'.", physical, self._name)
            vectors = models.VectorParams(size=self._dimension, distance=models.Distance.COSINE)
            await self._call(
                f"creating the collection '{physical}'", lambda: self._create(physical, vectors, described)
            )
        elif self.collection.identity == physical:
            await self._describe(described)
        # Servers before 1.16 keep no metadata; the name is then all there is to tell collections apart.
        info = await self._call("reading the collection", lambda: self._client.get_collection(physical))
        self.collection = replace(self.collection, exists=True, identity=_described(info)[0] or physical)
        if self.collection.outdated is None:
            await self.publish()

    async def _create(self, physical: str, vectors: models.VectorParams, metadata: dict[str, Any]) -> None:
        try:
            await self._client.create_collection(physical, vectors_config=vectors, metadata=metadata)
        except UnexpectedResponse as error:
            # An earlier attempt may have created it although its answer was lost.
            if error.status_code != 409:
                raise

    async def publish(self) -> None:
        """Let readers of the name see this collection, in one call, so that no reader ever misses it."""
        physical = self.collection.physical
        if physical == self._name:
            if self.collection.outdated:
                metadata = {METADATA_KEY: {"identity": self.collection.identity, "recipe": self._recipe}}
                await self._describe(metadata)
            return
        aliases = await self._call("reading the aliases", self._client.get_aliases)
        previous = {item.alias_name: item.collection_name for item in aliases.aliases}.get(self._name)
        if previous == physical:
            return
        operations: list[models.AliasOperations] = []
        if previous is not None:
            operations.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self._name)))
        operations.append(
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=physical, alias_name=self._name)
            )
        )
        await self._call(
            f"pointing the alias '{self._name}' to '{physical}'",
            lambda: self._client.update_collection_aliases(change_aliases_operations=operations),
        )
        if previous is not None:
            log.info("'%s' now names '%s'; '%s' is kept for going back.", self._name, physical, previous)
        self.collection = replace(self.collection, outdated=None)

    async def confirm(self) -> None:
        """Make sure that the name still leads to the collection that this run has written.

        :raises CollectionLostError: it was deleted, replaced, or the alias names another one
        """
        written = self.collection
        aliases = await self._call("reading the aliases", self._client.get_aliases)
        named = {item.alias_name: item.collection_name for item in aliases.aliases}.get(self._name, self._name)
        info = await self._call("reading the collection", lambda: self._client.get_collection(written.physical))
        if named != written.physical:
            raise CollectionLostError(
                f"While this run wrote '{written.physical}' in Qdrant at {self.config.place}, something else made "
                f"'{self._name}' name '{named}'. The next run syncs what the name leads to then."
            )
        if (_described(info)[0] or written.physical) != written.identity:
            raise CollectionLostError(
                f"While this run wrote '{written.physical}' in Qdrant at {self.config.place}, something else replaced "
                "that collection by another one of the same name. The next run compares everything."
            )

    async def _describe(self, metadata: dict[str, Any]) -> None:
        physical = self.collection.physical
        await self._call(
            f"describing the collection '{physical}'",
            lambda: self._client.update_collection(physical, metadata=metadata),
        )

    async def fingerprints(self, ids: Sequence[UUID]) -> dict[UUID, Fingerprint]:
        """What Qdrant holds for these ids; ids it does not know are absent from the result."""
        if not self.collection.exists or not ids:
            return {}
        records = await self._call(
            "reading points",
            lambda: self._client.retrieve(
                self.collection.physical,
                ids=[str(node_id) for node_id in ids],
                with_payload=[EMBEDDING_HASH, CONTENT_HASH],
                with_vectors=False,
            ),
        )
        return {UUID(str(record.id)): _fingerprint(record) for record in records}

    async def pages(self) -> AsyncIterator[list[Fingerprint]]:
        """All points, in id order: integers first, then UUIDs."""
        offset: Any = None
        while self.collection.exists:
            start = offset
            records, offset = await self._call(
                "scrolling",
                lambda start=start: self._client.scroll(  # type: ignore[misc]
                    self.collection.physical,
                    limit=SCROLL_POINTS,
                    offset=start,
                    with_payload=[EMBEDDING_HASH, CONTENT_HASH],
                    with_vectors=False,
                ),
            )
            if records:
                yield [_fingerprint(record) for record in records]
            if offset is None:
                return

    async def count(self) -> int:
        """How many points there are."""
        if not self.collection.exists:
            return 0
        result = await self._call("counting", lambda: self._client.count(self.collection.physical, exact=True))
        return int(result.count)

    async def upsert(self, patterns: Sequence[Pattern], vectors: Vectors) -> None:
        """Write whole points.

        :param patterns: what to store
        :param vectors: their vectors, shape (len(patterns), dimension)
        :raises PointRejectedError: Qdrant refuses these very points
        """
        stamp = _now()
        per_vector = self._dimension * VECTOR_NUMBER_BYTES
        for part in _parts(patterns, per_vector):
            batch = models.Batch(
                ids=[str(pattern.id) for pattern in patterns[part]],
                vectors=vectors[part].tolist(),
                payloads=[pattern.payload | {SYNC_TIMESTAMP: stamp} for pattern in patterns[part]],
            )
            await self._write("upserting points", lambda batch=batch: self._upsert(batch), rejectable=True)  # type: ignore[misc]

    async def overwrite_payloads(self, patterns: Sequence[Pattern]) -> None:
        """Replace payloads and keep the vectors.

        :raises PointRejectedError: Qdrant refuses these very payloads
        """
        stamp = _now()
        for part in _parts(patterns, 0):
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(
                        payload=pattern.payload | {SYNC_TIMESTAMP: stamp}, points=[str(pattern.id)]
                    )
                )
                for pattern in patterns[part]
            ]
            await self._write(
                "writing payloads",
                lambda operations=operations: self._client.batch_update_points(  # type: ignore[misc]
                    self.collection.physical, update_operations=operations, wait=True
                ),
                rejectable=True,
            )

    async def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points by id."""
        if not ids:
            return
        selector = models.PointIdsList(
            points=[node_id if isinstance(node_id, int) else str(node_id) for node_id in ids]
        )
        await self._write("deleting points", lambda: self._delete(selector))

    async def _upsert(
        self, batch: models.Batch, mode: models.UpdateMode | None = None
    ) -> Sequence[models.UpdateResult]:
        return [await self._client.upsert(self.collection.physical, points=batch, wait=True, update_mode=mode)]

    async def _delete(self, selector: models.PointIdsList) -> Sequence[models.UpdateResult]:
        return [await self._client.delete(self.collection.physical, points_selector=selector, wait=True)]

    async def _write(
        self,
        doing: str,
        request: Callable[[], Awaitable[Sequence[models.UpdateResult]]],
        *,
        rejectable: bool = False,
    ) -> None:
        """Send a write until it is done, not only accepted."""

        async def completed() -> None:
            for result in await request():
                if result.status != models.UpdateStatus.COMPLETED:
                    raise OutageError(
                        f"Qdrant at {self.config.place} answered '{result.status.value}' instead of 'completed' to a "
                        "write that was to be waited for; the batch does not count as stored and will be tried again."
                    )

        await self._call(doing, completed, rejectable=rejectable)

    async def _probe(self, refusal: PatternsError) -> None:
        """Find out who is at fault for a refused write: only a collection that takes another point may blame these.

        The point is sent as an update of one that does not exist, which leaves nothing behind. Servers before 1.17 do
        not know that and would store it, so it is deleted as well.

        :param refusal: how the real write was refused
        :raises ConfigurationError: the collection refuses every point
        """
        node_id = str(uuid.uuid4())
        batch = models.Batch(ids=[node_id], vectors=[[1.0] * self._dimension], payloads=[{}])
        try:
            await self._write("trying a harmless point", lambda: self._upsert(batch, models.UpdateMode.UPDATE_ONLY))
            await self._write("deleting points", lambda: self._delete(models.PointIdsList(points=[node_id])))
        except ConfigurationError:
            raise ConfigurationError(
                f"{refusal} It refuses a harmless point too, so no pattern is at fault. Raise the collection's limits "
                "(strict mode), or see what its configuration has against points of "
                f"{self._dimension} dimensions."
            ) from None

    async def _call(self, doing: str, request: Callable[[], Awaitable[Result]], *, rejectable: bool = False) -> Result:
        """Send a request, again when the trouble may pass; every request here may be repeated safely."""
        attempts = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=_wait,
            retry=retry_if_exception_type(OutageError) & retry_if_not_exception_type(CollectionLostError),
            reraise=True,
        )
        doing = f"{doing} of '{self._name}'"
        async for attempt in attempts:
            with attempt:
                try:
                    return await request()
                except Exception as error:
                    reason = explain(self.config, doing, error)
                    status = error.status_code if isinstance(error, UnexpectedResponse) else None
                if status == 404:
                    raise CollectionLostError(
                        f"{reason} It was there a moment ago: something else deletes or renames in this collection. "
                        "The next try looks again and repairs what is missing."
                    )
                if rejectable and status in (400, 413, 422):
                    await self._probe(reason)
                    raise PointRejectedError(str(reason))
                raise reason
        raise AssertionError("unreachable: tenacity either returns or raises")


def _described(info: models.CollectionInfo) -> tuple[str | None, str | None]:
    """Read identity and recipe that :meth:`PatternTarget.prepare` left in the collection's metadata."""
    described = (info.config.metadata or {}).get(METADATA_KEY)
    described = described if isinstance(described, dict) else {}
    return described.get("identity"), described.get("recipe")


def _fingerprint(record: models.Record) -> Fingerprint:
    payload = record.payload or {}
    node_id: PointId = record.id if isinstance(record.id, int) else UUID(str(record.id))
    return Fingerprint(node_id, payload.get(EMBEDDING_HASH), payload.get(CONTENT_HASH))


def _wait(state: RetryCallState) -> float:
    """Random and growing, at least what the server asked for; a tenacity ``wait``."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, BusyError) else None
    backoff = wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=8)(state)
    return max(backoff, min(asked or 0.0, LONGEST_ASKED_WAIT_SECONDS))


def _parts(patterns: Sequence[Pattern], per_point: int) -> Iterator[slice]:
    """Cut a batch so that no request grows beyond :data:`MAX_REQUEST_BYTES`; a single point is never cut."""
    start, size = 0, 0
    for index, pattern in enumerate(patterns):
        bytes_of_point = per_point + len(orjson.dumps(pattern.payload))
        if index > start and size + bytes_of_point > MAX_REQUEST_BYTES:
            yield slice(start, index)
            start, size = index, 0
        size += bytes_of_point
    if patterns:
        yield slice(start, len(patterns))


def _now() -> str:
    return datetime.now(UTC).isoformat()
