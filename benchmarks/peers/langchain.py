"""LangChain: ``index()`` with a record manager in PostgreSQL, as its documentation shows it.

The third argument is the number of processes that index side by side. Each has its own namespace; with a common one
they would delete each other's records. Only ``key_encoder="sha1"`` gives ids that Qdrant takes.
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
from benchmarks.workload import BATCH, DIMENSION, MODEL, QDRANT_API_KEY, Workload


def open_client(workload: Workload) -> QdrantClient:
    """Open the storage that the workload names."""
    if workload.qdrant_path:
        return QdrantClient(path=workload.qdrant_path)
    return QdrantClient(url=workload.qdrant_url, api_key=QDRANT_API_KEY, check_compatibility=False)


def prepare(workload: Workload, client: QdrantClient) -> None:
    """Create what every shard needs."""
    if not client.collection_exists(workload.collection):
        vectors = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        client.create_collection(workload.collection, vectors_config=vectors)
    record_manager(workload, 0).create_schema()


def record_manager(workload: Workload, shard: int) -> SQLRecordManager:
    """Open the ledger of one shard."""
    url = sqlalchemy_url(workload.dsn, "postgresql+psycopg")
    return SQLRecordManager(f"qdrant/{workload.collection}/{shard}", db_url=url)


def index_shard(workload: Workload, client: QdrantClient, shard: int, shards: int) -> None:
    """Index the patterns of one shard."""
    store = QdrantVectorStore(
        client=client,
        collection_name=workload.collection,
        embedding=OllamaEmbeddings(model=MODEL, base_url=workload.embedding_url),
    )
    index(
        [
            Document(page_content=document.text, metadata={"source": str(document.id), **document.metadata})
            for document in documents(workload.dsn, workload.count)[shard::shards]
        ],
        record_manager(workload, shard),
        store,
        cleanup="full",
        source_id_key="source",
        batch_size=BATCH,
        key_encoder="sha1",
    )


def index_shard_alone(workload: Workload, shard: int, shards: int) -> None:
    """Index one shard in its own process."""
    index_shard(workload, open_client(workload), shard, shards)


def main(workload: Workload, shards: int) -> None:
    """Index all patterns."""
    with measured():
        client = open_client(workload)
        prepare(workload, client)
        if shards == 1:
            index_shard(workload, client, 0, 1)
            return
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=index_shard_alone, args=(workload, n, shards)) for n in range(shards)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        if any(child.exitcode for child in children):
            sys.exit("a shard failed")


if __name__ == "__main__":
    main(Workload.from_arguments(), int(sys.argv[2]))
