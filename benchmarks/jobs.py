"""The jobs of this project's side: the sync, the limits of its parts, and the work of the old script.

``python -m benchmarks.jobs <workload> <job> [argument]``; each call is one measurement.
"""

import asyncio
import cProfile
import logging
import multiprocessing
import pstats
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import httpx
import orjson
from psycopg.conninfo import conninfo_to_dict
from qdrant_client import QdrantClient, models

from benchmarks.clock import measured
from benchmarks.workload import AT_ONCE, BATCH, DIMENSION, MODEL, QDRANT_API_KEY, Workload
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.hashing import hash_text, hash_texts
from code_patterns.embeddings.words import WORDS, words_of
from code_patterns.errors import ConfigurationError
from code_patterns.quality.backfill import backfill
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.tls import tls_context
from code_patterns.sync import deferral
from code_patterns.sync.collection import Collection
from code_patterns.sync.collection_options import THRESHOLD
from code_patterns.sync.partition import partition
from code_patterns.sync.pattern import SYNC_TIMESTAMP, Pattern, pattern_of
from code_patterns.sync.resolution import resolve
from code_patterns.sync.runs import full, opening, sync
from code_patterns.sync.source import PatternSource
from code_patterns.sync.sync_result import SyncResult
from code_patterns.sync.sync_settings import SyncSettings

SETTLE_SECONDS = 3600.0
SCORES_AT_ONCE = 1000


def postgres_of(workload: Workload) -> PostgresConfig:
    """The database in the form that the sync takes."""
    parts = conninfo_to_dict(workload.dsn)
    return PostgresConfig(
        conn_id="benchmark_postgres",
        host=str(parts["host"]),
        database=str(parts["dbname"]),
        user=str(parts["user"]),
        password=str(parts["password"]) if parts.get("password") else None,
        port=int(parts.get("port") or 5432),
    )


def qdrant_of(workload: Workload) -> QdrantConfig:
    """The point storage in the form that the sync takes."""
    return QdrantConfig(
        conn_id="benchmark_qdrant", url=workload.qdrant_url, path=workload.qdrant_path, api_key=QDRANT_API_KEY
    )


def blocking_client(workload: Workload) -> QdrantClient:
    """Open a client as a plain script does."""
    if workload.qdrant_path:
        return QdrantClient(path=workload.qdrant_path)
    return QdrantClient(url=workload.qdrant_url, api_key=QDRANT_API_KEY, timeout=60, check_compatibility=False)


def run_sync(workload: Workload, mode: str, api: str, dimension: str = str(DIMENSION)) -> None:
    """Run the sync as its DAGs do, without Airflow.

    :param mode: ``full`` or ``incremental``
    :param api: ``ollama`` for the embedding server, ``hashing`` for the built-in embedder
    :param dimension: length of the vectors
    """
    with measured() as details:
        result = asyncio.run(synced(workload, mode, api, int(dimension)))
        details.update(asdict(result)["counts"], parity=result.parity)


def sync_in_shards(workload: Workload, shards: str, dimension: str = str(DIMENSION)) -> None:
    """Run a first sync with the hashing embedder as ``pattern_sync_full`` does with shards, each in its own process.

    :param shards: how many
    :param dimension: length of the vectors
    """
    embedding = embedding_of(workload, "hashing", int(dimension))
    whole = settings_of(workload, "full", shards=int(shards))
    fork = multiprocessing.get_context("fork")
    with measured() as details:
        cut = asyncio.run(partition(postgres_of(workload), qdrant_of(workload), embedding, whole))
        processes = [
            fork.Process(target=_run, args=(workload, embedding, settings_of(workload, "full", id_range=ids)))
            for ids in cut.ranges
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise RuntimeError("a shard failed")
        details["parity"] = _run(workload, embedding, replace(whole, points_before=cut.points)).parity


def first_load(workload: Workload, way: str, dimension: str) -> None:
    """Sync into a new collection, and wait until Qdrant has indexed it.

    :param way: ``meanwhile`` to index during the sync, ``sync`` to defer as the sync does, ``never`` to build no index
        before its end, ``pieces`` to build the graph of large pieces meanwhile
    :param dimension: length of the vectors
    """
    as_ever = deferral._while_loading
    if way == "meanwhile":
        full.is_loading = lambda *_: False  # type: ignore[attr-defined]
    elif way == "never":
        deferral.MOST_UNINDEXED = sys.maxsize
    elif way == "pieces":
        deferral._while_loading = lambda *known: {THRESHOLD: as_ever(*known)[THRESHOLD]}
    with measured() as details:
        started = time.monotonic()
        result = asyncio.run(synced(workload, "full", "hashing", int(dimension)))
        details["synced"] = time.monotonic() - started
        until_indexed(workload, deferral.QUIET_SECONDS)
        details["indexed"] = time.monotonic() - started - deferral.QUIET_SECONDS
        details["parity"] = result.parity


def run_sync_without_words(workload: Workload, mode: str, api: str) -> None:
    """Run the sync as before there were words: into a collection that can have none.

    See :func:`run_sync`.
    """

    async def wordless(*arguments: Any, **named: Any) -> Collection:
        return replace(await resolve(*arguments, **named), words=False)

    opening.resolve = wordless  # type: ignore[attr-defined]
    run_sync(workload, mode, api)


def verify(workload: Workload, dimension: str, nights: str = "1") -> None:
    """Verify as ``pattern_verify`` does; that points are wrong is a result.

    :param dimension: length of the vectors
    :param nights: in how many nights every point is read whole once
    """
    # It would name hundreds of wrong points in the middle of the table.
    logging.disable(logging.WARNING)
    with measured() as details:
        try:
            details["found"] = asyncio.run(synced(workload, "verify", "hashing", int(dimension), int(nights))).parity
        except ConfigurationError as error:
            details["found"] = str(error).partition(" of ")[0] + " wrong"


def heal(workload: Workload, api: str) -> None:
    """Verify, and write again what is wrong.

    :param api: as in :func:`run_sync`
    """
    logging.disable(logging.WARNING)
    with measured() as details:
        details["found"] = asyncio.run(synced(workload, "verify", api, heal=True)).parity


def scores(workload: Workload) -> None:
    """Score every point as ``quality_backfill`` does, without pauses."""
    settings = BackfillSettings(
        (workload.collection,), limit=workload.count, batch_size=SCORES_AT_ONCE, delay_seconds=0.0
    )
    with measured() as details:
        run = backfill(postgres_of(workload), qdrant_of(workload), settings, RunIdentity(uuid.uuid4()))
        details["stored"] = asyncio.run(run).stored


def embedding_of(workload: Workload, api: str, dimension: int = DIMENSION) -> EmbeddingConfig:
    """The embedder in the form that the sync takes."""
    return EmbeddingConfig(
        conn_id="benchmark_embeddings",
        api=api,  # type: ignore[arg-type]
        model=MODEL,
        dimension=dimension,
        base_url=workload.embedding_url if api == "ollama" else "",
        # As docs/sync.md advises: with requests waiting at the server, it is never idle.
        concurrency=AT_ONCE + 2,
    )


def settings_of(workload: Workload, mode: str, **others: Any) -> SyncSettings:
    """The settings of a run."""
    return SyncSettings(mode=mode, collection=workload.collection, batch_size=BATCH, **others)


async def synced(
    workload: Workload, mode: str, api: str, dimension: int = DIMENSION, nights: int = 1, *, heal: bool = False
) -> SyncResult:
    """Run one sync."""
    settings = settings_of(workload, mode, nights=nights, heal=heal)
    embedding = embedding_of(workload, api, dimension)
    return await sync(postgres_of(workload), qdrant_of(workload), embedding, settings, RunIdentity(uuid.uuid4()))


def _run(workload: Workload, embedding: EmbeddingConfig, settings: SyncSettings) -> SyncResult:
    run = sync(postgres_of(workload), qdrant_of(workload), embedding, settings, RunIdentity(uuid.uuid4()))
    return asyncio.run(run)


def embedding_limit(workload: Workload) -> None:
    """Saturate the embedding server: twice as many batches in flight as it takes; ignore the answers."""
    texts = [pattern.text for pattern in patterns(workload)]
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]

    async def send_all() -> None:
        room = asyncio.Semaphore(2 * AT_ONCE)
        async with httpx.AsyncClient(base_url=workload.embedding_url, timeout=60) as client:

            async def send(batch: list[str]) -> None:
                async with room:
                    answer = await client.post("/api/embed", content=orjson.dumps({"model": MODEL, "input": batch}))
                    answer.raise_for_status()

            await asyncio.gather(*(send(batch) for batch in batches))

    with measured():
        asyncio.run(send_all())


def upload_limit(workload: Workload, form: str, index: str = "indexed") -> None:
    """Upload points that are ready in memory.

    :param form: ``client`` for qdrant-client's ``upload_points``; ``bodies`` for finished request bodies, with as many
        in flight as the sync has
    :param index: whether Qdrant builds an index meanwhile: ``indexed`` or ``unindexed``
    """
    create = partial(_create, workload=workload, indexed=index == "indexed")
    points = [
        models.PointStruct(
            id=str(pattern.id),
            vector={"": hash_text(pattern.text, DIMENSION).tolist(), WORDS: _sparse(pattern)},
            payload=pattern.payload | {SYNC_TIMESTAMP: "2026-01-01T00:00:00+00:00"},
        )
        for pattern in patterns(workload)
    ]
    if form == "client":
        with measured(), closing(blocking_client(workload)) as client:
            create(client)
            client.upload_points(workload.collection, points, batch_size=BATCH, wait=True)
        return
    bodies = [
        orjson.dumps({"points": [point.model_dump() for point in points[start : start + BATCH]]})
        for start in range(0, len(points), BATCH)
    ]

    async def send_all() -> None:
        room = asyncio.Semaphore(AT_ONCE)
        headers = {"Content-Type": "application/json"} | ({"api-key": QDRANT_API_KEY} if QDRANT_API_KEY else {})
        async with httpx.AsyncClient(base_url=workload.qdrant_url, timeout=60, headers=headers) as client:

            async def send(body: bytes) -> None:
                async with room:
                    answer = await client.put(f"/collections/{workload.collection}/points?wait=true", content=body)
                    answer.raise_for_status()

            await asyncio.gather(*(send(body) for body in bodies))

    with measured():
        with closing(blocking_client(workload)) as client:
            create(client)
        asyncio.run(send_all())


def _sparse(pattern: Pattern) -> models.SparseVector:
    [words] = words_of([pattern.texts_of_words])
    return models.SparseVector(indices=words.indices.tolist(), values=words.values.tolist())


def _create(client: QdrantClient, workload: Workload, *, indexed: bool) -> None:
    client.create_collection(
        workload.collection,
        vectors_config=models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE),
        sparse_vectors_config={WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        optimizers_config=None if indexed else models.OptimizersConfigDiff(indexing_threshold=0),
    )


def one_request_each(workload: Workload) -> None:
    """Do what the old script did: one request and one connection per pattern, and upserts of 100 points."""
    texts = [(pattern.id, pattern.text) for pattern in patterns(workload)]
    vectors = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
    # A connection for each pattern, but no certificates: loading them is httpx's cost, not the old script's.
    certificates = tls_context(workload.embedding_url)
    with measured(), closing(blocking_client(workload)) as client:
        client.create_collection(workload.collection, vectors_config=vectors)
        waiting: list[models.PointStruct] = []
        for number, (node_id, text) in enumerate(texts, 1):
            request = {"model": MODEL, "input": text}
            answer = httpx.post(f"{workload.embedding_url}/api/embed", json=request, timeout=60, verify=certificates)
            [vector] = answer.json()["embeddings"]
            waiting.append(models.PointStruct(id=str(node_id), vector=vector, payload={"text": text}))
            if len(waiting) == BATCH or number == len(texts):
                client.upsert(workload.collection, waiting, wait=True)
                waiting = []


def hashing(workload: Workload) -> None:
    """Embed every text on one core, after a run under a profiler that shows where the time goes."""
    texts = [pattern.text for pattern in patterns(workload)]
    with measured(profile=_profile(texts)):
        _embed(texts)


def _embed(texts: Sequence[str]) -> None:
    for start in range(0, len(texts), BATCH):
        hash_texts(texts[start : start + BATCH], DIMENSION)


def _profile(texts: Sequence[str]) -> dict[str, float]:
    """The embedder's own time by function, as shares, the largest first."""
    profile = cProfile.Profile()
    profile.enable()
    _embed(texts)
    profile.disable()
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    largest = sorted(stats.items(), key=lambda item: -item[1][2])[:5]
    return {name: round(values[2] / total, 2) for (_, _, name), values in largest}


def unindexed(workload: Workload, dimension: int = DIMENSION) -> None:
    """Create the collection without an index over its vectors: the server would build it for hours."""
    vectors = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
    never = models.OptimizersConfigDiff(indexing_threshold=0)
    with closing(blocking_client(workload)) as client:
        client.create_collection(workload.collection, vectors_config=vectors, optimizers_config=never)


def settle(workload: Workload) -> None:
    """Wait until the server has indexed the points; see :func:`until_indexed`."""
    with measured():
        until_indexed(workload)


def until_indexed(workload: Workload, quiet_seconds: float = 0.0) -> None:
    """Wait until the server has indexed the points.

    :param quiet_seconds: how long it must say so
    :raises TimeoutError: it takes longer than an hour
    """
    quiet_since = time.monotonic()
    deadline = quiet_since + SETTLE_SECONDS
    with closing(blocking_client(workload)) as client:
        while True:
            if client.get_collection(workload.collection).status != models.CollectionStatus.GREEN:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= quiet_seconds:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the collection '{workload.collection}' is still being indexed")
            time.sleep(0.2)


def patterns(workload: Workload) -> list[Pattern]:
    """Build the patterns before the clock starts."""

    async def read() -> list[Pattern]:
        found: list[Pattern] = []
        async with PatternSource.open(postgres_of(workload)) as source:
            async for rows in source.code_pages():
                found += [pattern_of(row, "") for row in rows]
                if len(found) >= workload.count:
                    break
        return found[: workload.count]

    return asyncio.run(read())


JOBS = {
    "sync": run_sync,
    "sync-in-shards": sync_in_shards,
    "first-load": first_load,
    "sync-without-words": run_sync_without_words,
    "verify": verify,
    "heal": heal,
    "scores": scores,
    "embedding-limit": embedding_limit,
    "upload-limit": upload_limit,
    "one-request-each": one_request_each,
    "hashing": hashing,
    "settle": settle,
}

if __name__ == "__main__":
    JOBS[sys.argv[2]](Workload.from_arguments(), *sys.argv[3:])
