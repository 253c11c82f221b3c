"""What readers of the points rely on: their filters find what they found before."""

import json
from typing import Any
from uuid import UUID

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.sync.publication import FILTERED_KEYS
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
