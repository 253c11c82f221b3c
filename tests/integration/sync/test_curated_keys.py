"""Payload keys of others survive whatever the sync does to a point."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.sync.embed import DistinctEmbedder
from code_patterns.sync.pattern import PAYLOAD_KEYS, TRUNCATED
from tests.support.two_sides import TwoSides, rows

CURATED = {"curated_by": "ann", "stars": 5, "labels": ["good", {"deep": None}], "confidence": 0.9}


def make_own_collection(sides: TwoSides, points: Iterable[tuple[uuid.UUID, dict[str, Any]]] = ()) -> None:
    """A real collection of the user's, with points that something else wrote."""

    async def make(client: AsyncQdrantClient) -> None:
        vectors = models.VectorParams(size=sides.embedding.dimension, distance=models.Distance.COSINE)
        await client.create_collection(sides.collection, vectors_config=vectors)
        structs = [
            models.PointStruct(id=str(node_id), vector=[0.5] * sides.embedding.dimension, payload=payload)
            for node_id, payload in points
        ]
        if structs:
            await client.upsert(sides.collection, structs, wait=True)

    sides.with_client(make)


def curate(sides: TwoSides, ids: Iterable[uuid.UUID], payload: dict[str, Any] = CURATED) -> None:
    named = [str(node_id) for node_id in ids]
    sides.with_client(lambda client: client.set_payload(sides.collection, payload=payload, points=named, wait=True))


def keys_of_others(sides: TwoSides, name: str | None = None) -> dict[uuid.UUID, dict[str, Any]]:
    return {
        node_id: {key: value for key, value in point.items() if key not in (*PAYLOAD_KEYS, "vector", "words")}
        for node_id, point in sides.points(name).items()
    }


def test_the_first_sync_keeps_what_a_user_curated(sides: TwoSides) -> None:
    new = rows(6)
    old = {"text": "cut at 500", "pattern_name": "old name", "code": "x", "legacy_batch": 7}
    make_own_collection(sides, [(row["id"], {**old, **CURATED}) for row in new[:4]])
    sides.insert(new)
    result = sides.sync("full")
    assert (result.counts["changed"], result.counts["new"], result.parity) == (4, 2, "proven")
    sides.assert_equal_sides()
    others = keys_of_others(sides)
    assert [others[row["id"]] for row in new] == [{"legacy_batch": 7, **CURATED}] * 4 + [{}] * 2
    assert sides.sync("verify").parity == "proven"
    assert sides.sync("full").counts["unchanged"] == 6


@pytest.mark.parametrize("own", [True, False], ids=["own collection", "behind the alias"])
def test_every_kind_of_run_keeps_them(sides: TwoSides, own: bool) -> None:
    if own:
        make_own_collection(sides)
    new = rows(8)
    ids = [row["id"] for row in new]
    sides.insert(new)
    sides.sync("full")
    curate(sides, ids)
    expected = dict.fromkeys(ids, CURATED)
    assert sides.sync("verify").parity == "proven"

    def change(column: str, value: str, some: list[uuid.UUID]) -> None:
        sides.execute(f"UPDATE pattern_lineage_nodes SET {column} = %s WHERE id = ANY(%s)", [value, some])

    change("metadata", '{"only": "payload"}', ids[:2])
    change("pattern_data", json.dumps({"code": "def another(): return 1"}), ids[2:4])
    assert (sides.sync().counts["payload_only"], keys_of_others(sides)) == (2, expected)

    change("pattern_data", json.dumps({"code": "def third(): return 2"}), ids[4:6])
    [(now,)] = sides.execute("SELECT now()")
    interval = (now.replace(microsecond=0, second=0, minute=0), now)
    assert sides.sync("incremental", interval).counts["changed"] == 2
    assert keys_of_others(sides) == expected

    change("pattern_data", json.dumps({"code": "def fourth(): return 3"}), ids[6:])
    for id_range in sides.partition(shards=2).ranges:
        sides.sync("full", id_range=id_range)
    assert sides.sync("full").parity == "proven"
    assert keys_of_others(sides) == expected

    # A wrong payload and a wrong vector are healed, and nothing else.
    curate(sides, ids[:1], {"code": "edited", TRUNCATED: True})
    zero = [models.PointVectors(id=str(ids[1]), vector=[0.0] * sides.embedding.dimension)]
    sides.with_client(lambda client: client.update_vectors(sides.collection, zero, wait=True))
    assert sides.sync("verify", heal=True).counts["changed"] == 2
    assert keys_of_others(sides) == expected
    assert TRUNCATED not in sides.points()[ids[0]]
    sides.assert_equal_sides()


def test_keys_with_null_stay_for_readers(sides: TwoSides) -> None:
    """Merging would remove them."""
    new = rows(3, pattern_name=None, metadata="null")
    sides.insert(new)
    sides.execute("UPDATE pattern_lineage_nodes SET created_at = NULL")
    sides.sync("full")
    curate(sides, [row["id"] for row in new])
    nulls = ("pattern_name", "created_at", "metadata")
    for column, value in (("pattern_version", "2.0.0"), ("pattern_data", json.dumps({"code": "def new(): ..."}))):
        sides.execute(f"UPDATE pattern_lineage_nodes SET {column} = %s WHERE id <> %s", [value, new[0]["id"]])
        assert sides.sync().counts["examined"] == 2
        for point in sides.points().values():
            assert [point[key] for key in nulls] == [None] * 3
        assert keys_of_others(sides) == {row["id"]: CURATED for row in new}
        assert sides.sync("verify").parity == "proven"


def test_a_dead_letter_that_is_tried_again_keeps_them(sides: TwoSides) -> None:
    [row] = rows(1)
    sides.insert([row])
    sides.sync("full")
    curate(sides, [row["id"]])
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = '[1]' WHERE id = %s", [row["id"]])
    assert sides.sync().counts["parked"] == 1
    good = json.dumps({"code": "def good(): ..."})
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = %s", [good, row["id"]])
    assert sides.sync(retry_dead_letters=True).dead_letters == 0
    assert keys_of_others(sides) == {row["id"]: CURATED}
    sides.assert_equal_sides()


def test_keys_that_are_written_while_the_sync_embeds_are_kept(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come after the run has read the point, and before it writes it."""
    new = rows(4)
    make_own_collection(sides, [(row["id"], {"text": "old"}) for row in new])
    sides.insert(new)
    original = DistinctEmbedder.embed
    client_of_run: list[Any] = []

    async def embed(self: DistinctEmbedder, patterns: Any) -> Any:
        embedded = await original(self, patterns)
        for pattern in patterns:
            await client_of_run[0].set_payload(sides.collection, payload=CURATED, points=[str(pattern.id)], wait=True)
        return embedded

    from code_patterns.sync.target import PatternTarget

    opened = PatternTarget.__init__

    def remember(self: PatternTarget, qdrant: Any, collection: Any) -> None:
        # The embedded storage has room for one client only.
        client_of_run[:] = [qdrant.client]
        opened(self, qdrant, collection)

    with monkeypatch.context() as patched:
        patched.setattr(DistinctEmbedder, "embed", embed)
        patched.setattr(PatternTarget, "__init__", remember)
        assert sides.sync("full").counts["changed"] == 4
    assert keys_of_others(sides) == {row["id"]: CURATED for row in new}
    sides.assert_equal_sides()


def test_another_model_in_a_new_collection_takes_them_along(sides: TwoSides) -> None:
    new = rows(5)
    ids = [row["id"] for row in new]
    sides.insert(new)
    sides.sync("full")
    curate(sides, ids[:3])
    other = sides.with_embedding(dimension=32)
    assert other.sync("full").parity == "proven"
    assert keys_of_others(other) == {node_id: CURATED if node_id in ids[:3] else {} for node_id in ids}
    other.assert_equal_sides()

    # And back: what was changed, added and removed meanwhile comes along too.
    curate(other, ids[3:4], {"stars": 1})
    curate(other, ids[4:], {"nothing": None})
    other.with_client(
        lambda client: client.delete_payload(other.collection, keys=["labels", "confidence"], points=[str(ids[0])])
    )
    sides.sync("full", rollback=True)
    expected = {
        ids[0]: {"curated_by": "ann", "stars": 5},
        **dict.fromkeys(ids[1:3], CURATED),
        ids[3]: {"stars": 1},
        ids[4]: {},
    }
    assert keys_of_others(sides) == expected
    sides.assert_equal_sides()


def test_another_model_in_a_collection_of_ones_own_keeps_them(sides: TwoSides) -> None:
    make_own_collection(sides)
    new = rows(3)
    sides.insert(new)
    sides.sync("full")
    curate(sides, [row["id"] for row in new])
    other = sides.with_embedding(document_prefix="passage: ")
    assert other.sync("full").counts["changed"] == 3
    assert keys_of_others(other) == {row["id"]: CURATED for row in new}


def test_a_text_that_is_no_longer_cut_loses_its_mark(sides: TwoSides) -> None:
    [row] = rows(1)
    sides.insert([row])
    sides.sync("full")
    curate(sides, [row["id"]], {TRUNCATED: True, **CURATED})
    code = json.dumps({"code": "def short(): ..."})
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = %s", [code, row["id"]])
    assert sides.sync().counts["changed"] == 1
    assert TRUNCATED not in sides.points()[row["id"]]
    assert keys_of_others(sides) == {row["id"]: CURATED}
