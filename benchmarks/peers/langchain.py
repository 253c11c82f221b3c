"""LangChain: ``index()`` with a record manager in PostgreSQL, as its documentation shows it.

The third argument is the number of processes that index side by side, each with a namespace of its own: with a common
one they would delete each other's records. Only ``key_encoder="sha1"`` gives ids that Qdrant takes.
"""

import multiprocessing
import sys

from langchain_classic.indexes import SQLRecordManager
from langchain_core.documents import Document
from langchain_core.indexing import index
from langchain_ollama import OllamaEmbeddings
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient, models

from benchmarks.clock import measured
from benchmarks.peers.source import documents, sqlalchemy_url
from benchmarks.place import BATCH, DIMENSION, MODEL, QDRANT_API_KEY, Place


def open_client(place: Place) -> QdrantClient:
    """Open the storage that the place names."""
    if place.qdrant_path:
        return QdrantClient(path=place.qdrant_path)
    return QdrantClient(url=place.qdrant_url, api_key=QDRANT_API_KEY, check_compatibility=False)


def prepare(place: Place, client: QdrantClient) -> None:
    """Create what every shard needs to find."""
    if not client.collection_exists(place.collection):
        vectors = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        client.create_collection(place.collection, vectors_config=vectors)
    record_manager(place, 0).create_schema()


def record_manager(place: Place, shard: int) -> SQLRecordManager:
    """Open the ledger of one shard."""
    url = sqlalchemy_url(place.dsn, "postgresql+psycopg")
    return SQLRecordManager(f"qdrant/{place.collection}/{shard}", db_url=url)


def index_shard(place: Place, client: QdrantClient, shard: int, shards: int) -> None:
    """Index every pattern whose turn it is."""
    store = QdrantVectorStore(
        client=client,
        collection_name=place.collection,
        embedding=OllamaEmbeddings(model=MODEL, base_url=place.embedding_url),
    )
    index(
        [
            Document(page_content=document.text, metadata={"source": str(document.id), **document.metadata})
            for document in documents(place.dsn, place.count)[shard::shards]
        ],
        record_manager(place, shard),
        store,
        cleanup="full",
        source_id_key="source",
        batch_size=BATCH,
        key_encoder="sha1",
    )


def index_shard_alone(place: Place, shard: int, shards: int) -> None:
    """Index one shard in a process of its own."""
    index_shard(place, open_client(place), shard, shards)


def main(place: Place, shards: int) -> None:
    """Index all patterns."""
    with measured():
        client = open_client(place)
        prepare(place, client)
        if shards == 1:
            index_shard(place, client, 0, 1)
            return
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=index_shard_alone, args=(place, n, shards)) for n in range(shards)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        if any(child.exitcode for child in children):
            sys.exit("a shard failed")


if __name__ == "__main__":
    main(Place.from_arguments(), int(sys.argv[2]))
