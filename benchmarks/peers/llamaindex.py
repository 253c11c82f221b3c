"""LlamaIndex: ``IngestionPipeline`` with a docstore in PostgreSQL.

``documented`` takes every default, ``tuned`` the asynchronous form with four batches of 100 in flight, writes in
batches everywhere and no cache of transformations.
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
from benchmarks.place import AT_ONCE, BATCH, MODEL, QDRANT_API_KEY, Place


def nodes(place: Place) -> list[Document]:
    """All patterns; only the text is embedded, as by everybody here."""
    return [
        Document(
            id_=str(document.id),
            text=document.text,
            metadata=document.metadata,
            excluded_embed_metadata_keys=list(document.metadata),
        )
        for document in documents(place.dsn, place.count)
    ]


def ledger(place: Place) -> PostgresKVStore:
    """Open the store that remembers what was done."""
    return PostgresKVStore(
        table_name=place.collection,
        connection_string=sqlalchemy_url(place.dsn, "postgresql+psycopg2"),
        async_connection_string=sqlalchemy_url(place.dsn, "postgresql+asyncpg"),
    )


def documented(place: Place) -> None:
    """Run with every default."""
    if place.qdrant_path:
        client = QdrantClient(path=place.qdrant_path)
    else:
        client = QdrantClient(url=place.qdrant_url, api_key=QDRANT_API_KEY, check_compatibility=False)
    pipeline = IngestionPipeline(
        transformations=[OllamaEmbedding(model_name=MODEL, base_url=place.embedding_url)],
        docstore=PostgresDocumentStore(ledger(place)),
        vector_store=QdrantVectorStore(collection_name=place.collection, client=client),
    )
    pipeline.run(documents=nodes(place))


async def tuned(place: Place) -> None:
    """Run with everything set for speed."""
    options = {"url": place.qdrant_url, "api_key": QDRANT_API_KEY, "check_compatibility": False}
    pipeline = IngestionPipeline(
        transformations=[
            OllamaEmbedding(model_name=MODEL, base_url=place.embedding_url, embed_batch_size=BATCH, num_workers=AT_ONCE)
        ],
        docstore=PostgresDocumentStore(ledger(place), batch_size=BATCH),
        vector_store=QdrantVectorStore(
            collection_name=place.collection,
            client=QdrantClient(**options),
            aclient=AsyncQdrantClient(**options),
            batch_size=BATCH,
        ),
        disable_cache=True,
    )
    await pipeline.arun(documents=nodes(place))


def main(place: Place, form: str) -> None:
    """Run the pipeline in one of its forms."""
    with measured():
        if form == "tuned":
            asyncio.run(tuned(place))
        else:
            documented(place)


if __name__ == "__main__":
    main(Place.from_arguments(), sys.argv[2])
