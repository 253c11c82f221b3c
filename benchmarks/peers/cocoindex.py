"""CocoIndex: its source for PostgreSQL, into its target for Qdrant.

Its source reads the whole table at every pass. Its target compares with its own state, which it keeps in a folder, and
writes into a collection that it makes itself, over gRPC where the port is known. The second argument is how it runs:
``live`` passes over the table every second (``auto_refresh``); ``documented`` and ``tuned`` pass once, as
``cocoindex update`` does. As documented it embeds with its own embedder. Tuned, and live, it embeds in batches of 100
with an HTTP client that is kept open.
"""

import asyncio
import datetime
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

# Before the imports: they ask servers on the way.
os.environ["COCOINDEX_DISABLE_USAGE_TRACKING"] = "1"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import asyncpg
import cocoindex as coco
import httpx
import numpy as np
import orjson
from cocoindex.connectors import postgres, qdrant
from cocoindex.resources.schema import VectorSchema
from qdrant_client import QdrantClient

from benchmarks.clock import measured
from benchmarks.peers.documents import document_of
from benchmarks.workload import BATCH, DIMENSION, MODEL, QDRANT_API_KEY, Workload
from code_patterns.embeddings.hashing import hash_text

PASS_SECONDS = 1.0
"""Pause between the end of a pass over the table and the next."""
POSTGRES = coco.ContextKey[asyncpg.Pool]("benchmark_postgres")
QDRANT = coco.ContextKey[QdrantClient]("benchmark_qdrant")

workload, way, api = Workload.from_arguments(), *sys.argv[2:4]
if way == "documented":
    from cocoindex.ops.litellm import LiteLLMEmbedder

    EMBEDDER = LiteLLMEmbedder(f"ollama/{MODEL}", api_base=workload.embedding_url)
# Not in a context of the library: a function that takes batches has none.
client = httpx.AsyncClient(base_url=workload.embedding_url, timeout=60)


@dataclass(frozen=True)
class Row:
    """The columns that it reads; JSON as text."""

    id: UUID
    pattern_id: str
    pattern_name: str
    pattern_type: str
    file_path: str
    language: str
    created_at: datetime.datetime
    metadata: str
    pattern_data: str


@coco.lifespan
async def lifespan(builder: coco.EnvironmentBuilder) -> AsyncIterator[None]:
    """Open the servers."""
    builder.settings.db_path = Path(os.environ["BENCHMARK_FOLDER"]) / "cocoindex"
    async with asyncpg.create_pool(**connection_arguments(), min_size=1, max_size=4) as pool:
        builder.provide(POSTGRES, pool)
        builder.provide(QDRANT, qdrant_client())
        yield


def qdrant_client() -> QdrantClient:
    """Open its client for Qdrant."""
    port = os.environ.get("PATTERNS_TEST_QDRANT_GRPC_PORT")
    ports = {"grpc_port": int(port)} if port else {}
    return qdrant.create_client(
        workload.qdrant_url,
        prefer_grpc=bool(port),
        api_key=QDRANT_API_KEY,
        timeout=60,
        check_compatibility=False,
        **ports,
    )


def connection_arguments() -> dict[str, str]:
    """The DSN as asyncpg's arguments."""
    parts = dict(part.split("=", 1) for part in workload.dsn.split())
    return {{"dbname": "database"}.get(key, key): value.strip("'") for key, value in parts.items()}


@coco.fn.as_async(batching=True, max_batch_size=BATCH)
async def embed(texts: list[str]) -> list[list[float]]:
    """Embed a batch."""
    if api == "hashing":
        return [hash_text(text, DIMENSION).tolist() for text in texts]
    answer = await client.post("/api/embed", content=orjson.dumps({"model": MODEL, "input": texts}))
    if answer.status_code == httpx.codes.BAD_REQUEST:
        # As its own embedder does: the batch is cut until the refused text stands alone.
        raise coco.RetryWithSmallerBatch
    answer.raise_for_status()
    return list(orjson.loads(answer.content)["embeddings"])


@coco.fn(memo=True)
async def process(row: Row, target: qdrant.CollectionTarget) -> None:
    """Make the point of one row."""
    document = document_of(
        row.id,
        row.pattern_id,
        row.pattern_name,
        row.pattern_type,
        row.file_path,
        row.language,
        row.created_at,
        orjson.loads(row.metadata),
        orjson.loads(row.pattern_data)["code"],
    )
    if way == "documented":
        vector = (await EMBEDDER.embed(document.text)).tolist()
    else:
        vector = await embed(document.text)
    payload = document.metadata | {"text": document.text}
    target.declare_point(qdrant.PointStruct(id=str(document.id), vector=vector, payload=payload))


@coco.fn
async def refresh(target: qdrant.CollectionTarget) -> None:
    """Look at every row."""
    source = postgres.PgTableSource(coco.use_context(POSTGRES), table_name="pattern_lineage_nodes", row_type=Row)
    await coco.mount_each(process, code(source.fetch_rows()), target)


async def code(found: AsyncIterator[Row]) -> AsyncIterator[tuple[str, Row]]:
    """The rows to make points of, by their ids; the source has no condition."""
    async for row in found:
        if row.pattern_type == "code":
            yield str(row.id), row


@coco.fn
async def patterns() -> None:
    """Keep the collection like the table."""
    vectors = qdrant.QdrantVectorDef(schema=VectorSchema(dtype=np.dtype(np.float32), size=DIMENSION))
    schema = await qdrant.CollectionSchema.create(vectors)
    target = await qdrant.mount_collection_target(QDRANT, workload.collection, schema)
    if way == "live":
        await coco.mount(coco.auto_refresh(refresh, interval=datetime.timedelta(seconds=PASS_SECONDS)), target)
    else:
        await refresh(target)


async def main() -> None:
    """Pass once over the table, or run in live mode until the process is ended."""
    app = coco.App(coco.AppConfig(name="patterns"), patterns)
    if way == "live":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        await app.update(live=True)
        return
    with measured() as details:
        handle = app.update()
        await handle.result()
        stats = handle.stats()
        details["errors"] = stats.total.num_errors if stats else None


if __name__ == "__main__":
    asyncio.run(main())
