"""Points without words are found beside pages of all points, whatever their ids are."""

import asyncio
import random
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.embeddings.words import WORDS
from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync import wordless
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.collection import Collection, read_stored
from code_patterns.sync.wordless import Wordless, wordless_among
from tests.support.two_sides import HASHING, TwoSides


@pytest.mark.parametrize("lacking", [0.0, 0.1, 0.9, 1.0])
def test_points_without_words(sides: TwoSides, monkeypatch: pytest.MonkeyPatch, lacking: float) -> None:
    monkeypatch.setattr(wordless, "PAGE_POINTS", 3)
    chosen = random.Random(lacking)
    ids: list[Any] = [
        *chosen.sample(range(2**62), 20),
        *(str(uuid.UUID(int=chosen.getrandbits(128))) for _ in range(40)),
    ]
    words = models.SparseVector(indices=[1], values=[1.0])
    without = {node_id for node_id in ids if chosen.random() < lacking}

    async def check(client: AsyncQdrantClient) -> None:
        name = sides.collection
        await client.create_collection(
            name,
            vectors_config=models.VectorParams(size=64, distance=models.Distance.COSINE),
            sparse_vectors_config={WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        dense = [1.0] * 64
        structs = [
            models.PointStruct(id=node_id, vector={"": dense} if node_id in without else {"": dense, WORDS: words})
            for node_id in ids
        ]
        await client.upsert(name, structs, wait=True)
        qdrant = Qdrant(sides.qdrant, client)
        points = AgreedPoints(qdrant, Collection(name, name, HASHING, await read_stored(qdrant, name)))
        beside, offset, found = Wordless(points), None, set()
        while True:
            page, offset = await client.scroll(name, limit=7, offset=offset, with_payload=False)
            found |= await beside.among(page)
            if offset is None:
                break
        assert found == without
        some = [node_id for node_id in ids if isinstance(node_id, str)][:9]
        assert await wordless_among(points, some) == without.intersection(some)

    sides.with_client(check)


def test_nothing_is_asked_of_a_collection_that_cannot_have_words(sides: TwoSides) -> None:
    nowhere = Collection("name", "name", HASHING, words=False)
    qdrant: Any = SimpleNamespace(client=None)
    assert asyncio.run(wordless_among(AgreedPoints(qdrant, nowhere), ["a"])) == {"a"}
