"""Search the patterns; one searcher per process keeps its connections open."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx

from code_patterns.codes import Code
from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import Embedder, EmbeddingConfig
from code_patterns.embeddings.words import Words, matched, words_of_code, words_of_question
from code_patterns.errors import ConfigurationError, OutageError, without_frames
from code_patterns.quality.points import pattern_id_of
from code_patterns.search.candidates import ATTEMPTS, Question, candidates
from code_patterns.search.filters import PROJECT
from code_patterns.search.fusion import FOR_NAMES_AND_CODE, FOR_QUESTIONS, Candidate, PointId
from code_patterns.search.hit import Hit, SearchAnswer
from code_patterns.search.kind import Kind, kind_of
from code_patterns.search.query import Mode, SearchQuery, WrongQueryError
from code_patterns.search.scores import UNSCORED, Score, Scores
from code_patterns.search.searched import Known, Searched
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_pool import PostgresPool
from code_patterns.servers.qdrant import Qdrant, open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_errors import CollectionLostError
from code_patterns.servers.retry import RetryPolicy
from code_patterns.sync.pattern import NO_LANGUAGE, document_text
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

SEARCH_SECONDS = 10.0
"""Longest time that a search may take."""
EMBEDDED_WAIT_SECONDS = 2.0
"""How long a search waits for another process that has the embedded storage open."""
CONNECTIONS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30.0)
"""Connections to a Qdrant server that stay open between searches."""
MATCHED_WORDS = 20
"""Most matched words of a hit."""

_PAYLOAD = ["pattern_id", "pattern_name", "pattern_type", "file_path", "language", "code", "created_at", PROJECT]


class UnknownPatternError(WrongQueryError):
    """The collection has no such pattern."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message, field, Code.PATTERN_UNKNOWN)


class Searcher:
    """Searches one collection.

    :param database: the database of the patterns and their scores; whoever made it closes it
    :param qdrant: the server or embedded storage
    :param embedding: the embedding connection
    :param collection: alias or collection
    :param target: whose collection it is
    """

    def __init__(
        self,
        database: PostgresPool,
        qdrant: QdrantConfig,
        embedding: EmbeddingConfig,
        collection: str,
        target: SyncTarget = WITHOUT_NAME,
    ) -> None:
        self._config = qdrant
        self._embedding = embedding
        self._collection = collection
        self._target = target
        self._known = Known(collection, target)
        self._scores = Scores(database)
        self._server: Qdrant | None = None
        self._storage = asyncio.Lock()
        self._embedders: dict[EmbeddingConfig, Embedder] = {}

    async def search(self, query: SearchQuery) -> SearchAnswer:
        """Find patterns.

        :raises WrongQueryError: the query contradicts itself, or names a pattern that the collection does not have
        :raises ConfigurationError: a person must act: the collection is missing or has no words, a key is refused
        :raises BusyStorageError: another process has the embedded storage open
        :raises OutageError: a server does not answer, or not in time
        """
        begun = time.perf_counter()
        query.refuse_contradictions()
        async with self._in_time(), self._qdrant() as qdrant:
            try:
                return await self._answer(qdrant, query, begun)
            except WrongQueryError:
                raise
            except (CollectionLostError, ConfigurationError):
                # Another collection may stand behind the name since it was read.
                self._known.forget()
            return await self._answer(qdrant, query, begun)

    async def get(self, pattern: str) -> Hit | None:
        """Return one pattern, or ``None`` if the collection has none.

        :param pattern: its uuid, or its ``pattern_id``; of several versions the newest
        :raises PatternsError: as for :meth:`search`
        """
        async with self._in_time(), self._qdrant() as qdrant:
            searched = await self._known.read(qdrant, attempts=ATTEMPTS)
            node_id, payload = await self._find(qdrant, searched, pattern)
            if node_id is None:
                return None
            scores = await self._scores.of([pattern_id_of(node_id)])
        found = Candidate(node_id, 0.0)
        return _hit(found, _score(scores, found), payload, None)

    async def close(self) -> None:
        """Close its connections to Qdrant and to the embedding server."""
        server, self._server = self._server, None
        if server:
            await server.client.close()
        for embedder in self._embedders.values():
            await embedder.aclose()
        self._embedders.clear()

    async def _answer(self, qdrant: Qdrant, query: SearchQuery, begun: float) -> SearchAnswer:
        searched = await self._known.read(qdrant, attempts=ATTEMPTS)
        mode, question = await self._question(qdrant, searched, query)
        wanted, found, scores = query.offset + query.limit + 1, list[Candidate](), dict[UUID, Score]()
        async for window in candidates(qdrant, searched, question):
            if query.filters_scores:
                scores |= await self._scores.of(pattern_id_of(item.id) for item in window)
                window = [item for item in window if _score(scores, item).passes(query)]
            found += window
            if len(found) >= wanted:
                break
        page = found[query.offset : query.offset + query.limit]
        payloads, scored = await asyncio.gather(
            _payloads(qdrant, searched, [item.id for item in page]),
            self._scores.of(pattern_id_of(item.id) for item in page),
        )
        scores |= scored
        sought = _words(query.text) if query.text and mode != "similar" else None
        hits = tuple(
            _hit(item, _score(scores, item), payloads[item.id], sought)
            for item in page
            # Deleted in this moment.
            if item.id in payloads
        )
        return SearchAnswer(hits, mode, time.perf_counter() - begun, len(found) >= wanted)

    async def _question(self, qdrant: Qdrant, searched: Searched, query: SearchQuery) -> tuple[Mode | str, Question]:
        """Decide what to ask Qdrant."""
        if query.similar_to:
            node_id, _ = await self._find(qdrant, searched, query.similar_to)
            if node_id is None:
                raise UnknownPatternError(
                    f"The collection '{searched.name}' of {searched.where} has no pattern '{query.similar_to}'.",
                    "similar_to",
                )
            return "similar", Question(query, None, str(node_id), FOR_QUESTIONS)
        if not query.text:
            return "list", Question(query, None, None, FOR_QUESTIONS)
        if query.mode == "similar":
            text = document_text(None, None, query.language, query.text)
            embedder = self._embedder(searched)
            embedded = await embedder.embed_documents([text])
            return "similar", Question(query, None, embedded.vectors[0].tolist(), FOR_QUESTIONS)
        mode = query.mode
        if mode == "auto":
            # Fusing two ways of comparing letters is worse than the better one alone.
            mode = "words" if searched.compares_letters(self._embedding) else "hybrid"
        words = near = None
        if mode != "meaning":
            searched.require_words()
            words = _words(query.text)
        if mode != "words":
            near = (await self._embedder(searched).embed_query(query.text)).tolist()
        weights = FOR_QUESTIONS if kind_of(query.text) is Kind.QUESTION else FOR_NAMES_AND_CODE
        return mode, Question(query, words, near, weights)

    async def _find(self, qdrant: Qdrant, searched: Searched, pattern: str) -> tuple[PointId | None, Mapping[str, Any]]:
        """Find a point by its uuid or its pattern's ``pattern_id``."""
        for ids in [_as_uuid(pattern), None]:
            ids = await self._scores.ids_of(pattern) if ids is None else ids
            found = await _payloads(qdrant, searched, [str(node_id) for node_id in ids])
            for node_id in map(str, ids):
                if node_id in found:
                    return node_id, found[node_id]
        return None, {}

    def _embedder(self, searched: Searched) -> Embedder:
        config = searched.embedding(self._embedding)
        if config not in self._embedders:
            self._embedders[config] = open_embedder(config, retry=RetryPolicy(attempts=2, total=SEARCH_SECONDS / 2))
        return self._embedders[config]

    @asynccontextmanager
    async def _qdrant(self) -> AsyncIterator[Qdrant]:
        """The open Qdrant; an embedded storage is open for one search only, because nobody else could use it."""
        if not self._config.path:
            if self._server is None:
                self._server = Qdrant(self._config, await open_client(self._config, limits=CONNECTIONS))
            yield self._server
            return
        async with self._storage:
            client = await open_client(self._config, wait_seconds=EMBEDDED_WAIT_SECONDS)
            try:
                yield Qdrant(self._config, client)
            finally:
                await client.close()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(SEARCH_SECONDS) as limit:
                with self._target.errors():
                    yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            without_frames(error)
            raise OutageError(
                Code.SEARCH_TOO_LONG,
                f"The search in '{self._collection}' of {self._config.address} took longer than "
                f"{SEARCH_SECONDS:.0f} s and was given up. Try again, with fewer filters.",
            ) from None


@asynccontextmanager
async def open_searcher(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    collection: str,
    target: SyncTarget = WITHOUT_NAME,
) -> AsyncIterator[Searcher]:
    """Open a searcher and close it in the end; it connects with the first search.

    :param collection: alias or collection
    :param target: whose collection it is
    """
    database = PostgresPool(postgres, SEARCH_SECONDS)
    searcher = Searcher(database, qdrant, embedding, collection, target)
    try:
        yield searcher
    finally:
        await searcher.close()
        await database.close()


def _score(scores: Mapping[UUID, Score], candidate: Candidate) -> Score:
    return scores.get(pattern_id_of(candidate.id), UNSCORED)


def _words(text: str) -> Words:
    return words_of_code(text) if kind_of(text) is Kind.CODE else words_of_question(text)


def _as_uuid(text: str) -> list[UUID]:
    try:
        return [UUID(text)]
    except ValueError:
        return []


def _plain(node_id: PointId | UUID) -> PointId:
    """The id as REST gives it: the client's models know another form."""
    return node_id if isinstance(node_id, int) else str(node_id)


async def _payloads(qdrant: Qdrant, searched: Searched, ids: Sequence[PointId]) -> dict[PointId, Mapping[str, Any]]:
    if not ids:
        return {}
    records = await qdrant.call(
        f"reading patterns of '{searched.name}'",
        lambda: qdrant.client.retrieve(searched.name, ids=list(ids), with_payload=_PAYLOAD, with_vectors=False),
        attempts=ATTEMPTS,
    )
    return {_plain(record.id): record.payload or {} for record in records}


def _hit(candidate: Candidate, score: Score, payload: Mapping[str, Any], sought: Words | None) -> Hit:
    def text(key: str) -> str | None:
        value = payload.get(key)
        return value if isinstance(value, str) else None

    metadata = payload.get("metadata")
    project = metadata.get("project_id") if isinstance(metadata, Mapping) else None
    name, path, code = text("pattern_name"), text("file_path") or "", text("code") or ""
    return Hit(
        id=str(candidate.id),
        pattern_id=text("pattern_id"),
        pattern_name=name,
        pattern_type=text("pattern_type"),
        file_path=path,
        language=text("language") or NO_LANGUAGE,
        project=None if project is None else str(project),
        created_at=text("created_at"),
        quality_score=score.quality,
        quality_tier=score.tier,
        confidence=score.confidence,
        score=candidate.score,
        words_score=candidate.words,
        meaning_score=candidate.meaning,
        matched_words=tuple(matched(sought, f"{name or ''}\n{path}\n{code}")[:MATCHED_WORDS]) if sought else (),
        code=code,
    )
