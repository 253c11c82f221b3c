"""LlamaIndex: ``IngestionPipeline`` with a docstore in PostgreSQL.

``documented`` takes every default. ``tuned`` is asynchronous with four batches of 100 in flight, writes in batches and
has no cache of transformations.
"""

import asyncio
import sys

from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import Document
from llama_index.embeddings.ollama import OllamaEmbedding
from llama_index.storage.docstore.postgres import PostgresDocumentStore
from llama_index.storage.kvstore.postgres import PostgresKVStore
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import AsyncQdrantClient, QdrantClient

from benchmarks.clock import measured
from benchmarks.peers.source import documents, sqlalchemy_url
from benchmarks.workload import AT_ONCE, BATCH, MODEL, QDRANT_API_KEY, Workload


def nodes(workload: Workload) -> list[Document]:
    """All patterns; only the text is embedded, as on the other sides."""
    return [
        Document(
            id_=str(document.id),
            text=document.text,
            metadata=document.metadata,
            excluded_embed_metadata_keys=list(document.metadata),
        )
        for document in documents(workload.dsn, workload.count)
    ]


def ledger(workload: Workload) -> PostgresKVStore:
    """Open the document store."""
    return PostgresKVStore(
        table_name=workload.collection,
        connection_string=sqlalchemy_url(workload.dsn, "postgresql+psycopg2"),
        async_connection_string=sqlalchemy_url(workload.dsn, "postgresql+asyncpg"),
    )


def documented(workload: Workload) -> None:
    """Run with every default."""
    if workload.qdrant_path:
        client = QdrantClient(path=workload.qdrant_path)
    else:
        client = QdrantClient(url=workload.qdrant_url, api_key=QDRANT_API_KEY, check_compatibility=False)
    pipeline = IngestionPipeline(
        transformations=[OllamaEmbedding(model_name=MODEL, base_url=workload.embedding_url)],
        docstore=PostgresDocumentStore(ledger(workload)),
        vector_store=QdrantVectorStore(collection_name=workload.collection, client=client),
    )
    pipeline.run(documents=nodes(workload))


async def tuned(workload: Workload) -> None:
    """Run with settings for speed."""
    options = {"url": workload.qdrant_url, "api_key": QDRANT_API_KEY, "check_compatibility": False}
    pipeline = IngestionPipeline(
        transformations=[
            OllamaEmbedding(
                model_name=MODEL, base_url=workload.embedding_url, embed_batch_size=BATCH, num_workers=AT_ONCE
            )
        ],
        docstore=PostgresDocumentStore(ledger(workload), batch_size=BATCH),
        vector_store=QdrantVectorStore(
            collection_name=workload.collection,
            client=QdrantClient(**options),
            aclient=AsyncQdrantClient(**options),
            batch_size=BATCH,
        ),
        disable_cache=True,
    )
    await pipeline.arun(documents=nodes(workload))


def main(workload: Workload, form: str) -> None:
    """Run the pipeline in one of its forms."""
    with measured():
        if form == "tuned":
            asyncio.run(tuned(workload))
        else:
            documented(workload)


if __name__ == "__main__":
    main(Workload.from_arguments(), sys.argv[2])
