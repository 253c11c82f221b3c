"""What readers of the points rely on: their filters find what they found before."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from code_patterns.embeddings.hashing import hash_text
from code_patterns.servers.qdrant import client_arguments
from code_patterns.sync.payload_indexes import FILTERED_KEYS
from tests.support.two_sides import TwoSides, rows


def found(sides: TwoSides, **conditions: Any) -> set[UUID]:
    """Ids of the points that a reader's filter finds."""
    must = [
        models.FieldCondition(key=key.replace("__", "."), match=models.MatchValue(value=value))
        for key, value in conditions.items()
    ]

    async def scroll(client: AsyncQdrantClient) -> set[UUID]:
        records, _ = await client.scroll(sides.collection, scroll_filter=models.Filter(must=must), limit=100)
        return {UUID(str(record.id)) for record in records}

    return set(sides.with_client(scroll))


def test_rows_without_language_or_path_are_found_as_before(sides: TwoSides) -> None:
    [whole], [bare], [empty] = rows(1), rows(1, 1, language=None, file_path=None), rows(1, 2, language="", file_path="")
    sides.insert([whole, bare, empty])
    sides.sync("full")
    assert found(sides, language="unknown") == found(sides, file_path="") == {bare["id"], empty["id"]}
    assert found(sides, language="python", pattern_type="code") == {whole["id"]}
    # The embedded text is the same as ever.
    assert sides.points()[bare["id"]]["text"].startswith(
        f"File: {bare['pattern_name']}\nLanguage: unknown\nPath: unknown\n"
    )
    sides.execute("UPDATE pattern_lineage_nodes SET language = 'go', file_path = 'a.go' WHERE id = %s", [bare["id"]])
    sides.execute("UPDATE pattern_lineage_nodes SET language = NULL WHERE id = %s", [whole["id"]])
    sides.sync()
    assert found(sides, language="unknown") == {whole["id"], empty["id"]}
    assert found(sides, file_path="a.go") == {bare["id"]}
    assert sides.sync("verify").parity == "proven"


def test_a_project_is_found_by_its_id(sides: TwoSides) -> None:
    mine = rows(3, metadata=json.dumps({"project_id": "abc", "lines": 1}))
    other = rows(2, 5, metadata=json.dumps({"project_id": "def"}))
    odd = rows(1, 8, metadata=json.dumps(["no object"]))
    sides.insert([*mine, *other, *odd])
    sides.sync("full")
    assert found(sides, metadata__project_id="abc") == {row["id"] for row in mine}


def test_filters_have_their_indexes(sides: TwoSides) -> None:
    """A server in strict mode refuses a filter without one; a collection of an earlier version gets them."""
    if sides.qdrant.path:
        pytest.skip("the embedded storage has no payload indexes")
    sides.insert(rows(5))
    sides.sync("full")

    async def indexes(client: AsyncQdrantClient) -> set[str]:
        return set((await client.get_collection(sides.collection)).payload_schema)

    async def forget_one(client: AsyncQdrantClient) -> None:
        await client.delete_payload_index(sides.collection, "metadata.project_id", wait=True)
        strict = models.StrictModeConfig(enabled=True, unindexed_filtering_retrieve=False)
        await client.update_collection(sides.collection, strict_mode_config=strict)

    assert sides.with_client(indexes) == FILTERED_KEYS
    sides.with_client(forget_one)
    sides.sync()
    assert sides.with_client(indexes) == FILTERED_KEYS
    assert found(sides, metadata__project_id="abc") == set()
    assert len(found(sides, language="python", pattern_type="code")) == 5


def test_a_collection_of_ones_own_gets_no_index(sides: TwoSides) -> None:
    vectors = models.VectorParams(size=sides.embedding.dimension, distance=models.Distance.COSINE)
    sides.with_client(lambda client: client.create_collection(sides.collection, vectors_config=vectors))
    sides.insert(rows(2))
    sides.sync("full")
    info = sides.with_client(lambda client: client.get_collection(sides.collection))
    assert not info.payload_schema


Hits = Sequence[tuple[str, float]]
"""Ids and scores, best first."""
QUESTION = "def parse(path, encoding): return open(path).read()"


def hashed(text: str) -> list[float]:
    """What the sync embeds with."""
    return list(map(float, hash_text(text, 64)))


# Whoever collects the tests imports this file. Two of the readers take seconds to import.


def by_client(client: QdrantClient, name: str) -> Hits:
    answer = client.query_points(name, query=hashed(QUESTION), limit=8)
    return [(str(point.id), point.score) for point in answer.points]


def by_langchain(client: QdrantClient, name: str) -> Hits:
    from langchain_core.embeddings import Embeddings
    from langchain_qdrant import QdrantVectorStore

    class Hashed(Embeddings):
        def embed_query(self, text: str) -> list[float]:
            return hashed(text)

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return list(map(hashed, texts))

    store = QdrantVectorStore(client, name, Hashed(), content_payload_key="text")
    scored = store.similarity_search_with_score(QUESTION, k=8)
    diverse = store.max_marginal_relevance_search(QUESTION, k=3)
    assert all(document.page_content.startswith("File: ") for document, _ in scored)
    return [
        *((document.metadata["_id"], score) for document, score in scored),
        *((document.metadata["_id"], 0.0) for document in diverse),
    ]


def by_llama_index(client: QdrantClient, name: str) -> Hits:
    from llama_index.core.vector_stores.types import VectorStoreQuery
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    store = QdrantVectorStore(name, client=client, text_key="text")
    query = VectorStoreQuery(query_embedding=hashed(QUESTION), similarity_top_k=8)
    found = store.query(query)
    assert found.nodes
    assert all(node.get_content().startswith("File: ") for node in found.nodes)
    return list(zip(found.ids or [], found.similarities or [], strict=True))


@pytest.mark.parametrize("read", [by_client, by_langchain, by_llama_index])
def test_readers_of_the_plain_vector_find_what_they_found_before(
    sides: TwoSides, read: Callable[[QdrantClient, str], Hits]
) -> None:
    """They find the same in a collection with words as in one that has only the plain vector."""
    sides.insert(rows(30))
    sides.sync("full")
    before = f"{sides.collection}_before"
    points = sides.points()
    if sides.qdrant.path:
        client = QdrantClient(path=sides.qdrant.path)
    else:
        client = QdrantClient(**client_arguments(sides.qdrant))
    try:
        vectors = models.VectorParams(size=64, distance=models.Distance.COSINE)
        client.create_collection(before, vectors_config=vectors)
        structs = [
            models.PointStruct(
                id=str(node_id),
                vector=point["vector"],
                payload={key: value for key, value in point.items() if key not in ("vector", "words")},
            )
            for node_id, point in points.items()
        ]
        client.upsert(before, structs, wait=True)
        expected, found = read(client, before), read(client, sides.collection)
    finally:
        client.close()
    assert len(expected) >= 8
    assert [node_id for node_id, _ in found] == [node_id for node_id, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)
