"""The words of a pattern: written with it, written again alone when only they change, and never lost unseen."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.embeddings import words
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.words import WORDS, words_of_question
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.sync import judgement, pattern, publication
from code_patterns.sync.collection import METADATA_KEY
from code_patterns.sync.diff import ALL_IDS
from code_patterns.sync.pattern import EMBEDDING_HASH, TRUNCATED, WORDS_HASH
from tests.support import faulty_embeddings
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import STRICT, Operation, QdrantServer
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    """An embedding server that counts its requests."""
    with faulty_embeddings.running(EmbeddingServer(dimension=64, max_tokens=300)) as running:
        yield running


def embedded_by(sides: TwoSides, server: EmbeddingServer) -> TwoSides:
    return replace(sides, embedding=EmbeddingConfig("patterns_embeddings", "ollama", "m", 64, server.url))


def found_by(sides: TwoSides, question: str) -> list[uuid.UUID]:
    """What a search by words finds, best first."""
    asked = words_of_question(question)
    query = models.SparseVector(indices=asked.indices.tolist(), values=asked.values.tolist())

    async def search(client: AsyncQdrantClient) -> list[uuid.UUID]:
        answer = await client.query_points(sides.collection, query=query, using=WORDS, limit=10)
        return [uuid.UUID(str(point.id)) for point in answer.points]

    return list(sides.with_client(search))


def describe(sides: TwoSides, row: dict[str, Any], description: str) -> None:
    data = json.loads(row["pattern_data"]) | {"description": description}
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = %s", [json.dumps(data), row["id"]])


def code(sides: TwoSides, row: dict[str, Any], text: str) -> None:
    data = json.dumps({"code": text})
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = %s", [data, row["id"]])


def names_behind(sides: TwoSides) -> str:
    async def look(client: AsyncQdrantClient) -> str:
        aliases = {item.alias_name: item.collection_name for item in (await client.get_aliases()).aliases}
        return aliases.get(sides.collection, sides.collection)

    return str(sides.with_client(look))


def make_as_before(sides: TwoSides, *, own: bool = False) -> None:
    """Sync, then make the collection again as it was before there were words: a plain vector, and no third hash.

    :param own: a real collection of that name, without an alias
    """
    sides.sync("full")
    physical, points = names_behind(sides), sides.points()

    async def make(client: AsyncQdrantClient) -> None:
        described = (await client.get_collection(physical)).config.metadata or {}
        description = described[METADATA_KEY]
        del description["words"]
        await client.delete_collection(physical)
        name = sides.collection if own else physical
        vectors = models.VectorParams(size=sides.embedding.dimension, distance=models.Distance.COSINE)
        await client.create_collection(name, vectors_config=vectors, metadata={METADATA_KEY: description})
        if not own:
            alias = models.CreateAlias(collection_name=physical, alias_name=sides.collection)
            await client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
        structs = [
            models.PointStruct(
                id=str(node_id),
                vector=point["vector"],
                payload={key: value for key, value in point.items() if key not in ("vector", "words", WORDS_HASH)},
            )
            for node_id, point in points.items()
        ]
        await client.upsert(name, structs, wait=True)

    sides.with_client(make)
    if own:
        sides.execute("UPDATE pattern_sync_checkpoints SET collection = %s", [sides.collection])


def test_words_stand_beside_the_plain_vector(sides: TwoSides) -> None:
    new = rows(20)
    sides.insert(new)
    sides.sync("full")
    sides.assert_equal_sides()
    params = sides.with_client(lambda client: client.get_collection(sides.collection)).config.params
    assert isinstance(params.vectors, models.VectorParams)
    assert params.sparse_vectors[WORDS].modifier is models.Modifier.IDF
    assert found_by(sides, f"where is {new[3]['pattern_name']}")[0] == new[3]["id"]
    sides.insert(rows(5, start=30))
    code(sides, new[4], "zebra()")
    counts = sides.sync().counts
    assert (counts["new"], counts["changed"], counts["words_only"]) == (5, 1, 0)
    assert found_by(sides, "zebras") == [new[4]["id"]]
    sides.assert_equal_sides()
    assert sides.sync("verify").parity == "proven"


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_every_way_to_qdrant_writes_both(sides: TwoSides, prefer_grpc: bool) -> None:
    if sides.qdrant.path and prefer_grpc:
        pytest.skip("the embedded storage has no gRPC")
    new = rows(8)
    nothing = rows(1, 50, pattern_name=None, file_path=None, pattern_data='{"code": "()"}')
    sides.insert([*new, *nothing])
    sides.qdrant = replace(sides.qdrant, prefer_grpc=prefer_grpc)
    sides.sync("full")
    sides.assert_equal_sides()
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = NULL WHERE id = %s", [new[0]["id"]])
    code(sides, nothing[0], "[]")
    describe(sides, new[1], "Walks like a duck")
    counts = sides.sync().counts
    assert (counts["changed"], counts["words_only"]) == (1, 2)
    assert found_by(sides, "duck") == [new[1]["id"]]
    sides.assert_equal_sides()
    assert sides.sync("verify").parity == "proven"


def test_a_description_goes_into_the_words_only(sides: TwoSides, server: EmbeddingServer) -> None:
    sides = embedded_by(sides, server)
    new = rows(12)
    long = "\n".join(f"value_{line} = compute({line})" for line in range(200))
    new[2]["pattern_data"] = json.dumps({"code": long})
    sides.insert(new)
    sides.sync("full")
    before, server.requests = sides.points(), 0
    assert before[new[2]["id"]][TRUNCATED]
    describe(sides, new[1], "Retries with exponential backoff")
    describe(sides, new[2], "Counts the platypuses")
    sides.execute(
        "UPDATE pattern_lineage_nodes SET metadata = %s WHERE id = %s",
        [json.dumps({"description": "A quokka", "project_id": "p"}), new[3]["id"]],
    )
    counts = sides.sync().counts
    assert (counts["words_only"], counts["payload_only"], counts["embedded_texts"]) == (3, 0, 0)
    assert server.requests == 1  # the word before the run
    after = sides.points()
    assert found_by(sides, "quokkas") == [new[3]["id"]]
    assert found_by(sides, "platypus") == [new[2]["id"]]
    for node_id, point in after.items():
        for key in ("vector", "text", EMBEDDING_HASH, TRUNCATED):
            assert point.get(key) == before[node_id].get(key)
    sides.assert_equal_sides()
    assert sides.sync("full").counts["unchanged"] == 12
    assert sides.execute("SELECT sum(words_only), sum(payload_only) FROM pattern_sync_runs") == [(3, 0)]


def test_a_new_recipe_writes_all_words_and_embeds_nothing(
    sides: TwoSides, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = embedded_by(sides, server)
    sides.insert(rows(30))
    sides.sync("full")
    before = sides.points()
    monkeypatch.setattr(words, "NAME_WEIGHT", 9)
    for module in (pattern, judgement, publication):
        monkeypatch.setattr(module, "WORDS_RECIPE", "another/1")
    with pytest.raises(ConfigurationError, match=r"words of its points are of another recipe.*Run pattern_sync_full"):
        sides.sync("verify")
    assert sides.sync("full", dry_run=True).counts["words_only"] == 30
    server.requests = 0
    result = sides.sync()
    assert (result.kind, result.counts["words_only"], result.counts["embedded_texts"]) == ("full", 30, 0)
    assert server.requests == 1
    after = sides.points()
    assert all(after[node_id]["vector"] == point["vector"] for node_id, point in before.items())
    assert all(after[node_id]["words"] != point["words"] for node_id, point in before.items())
    assert sides.sync("verify").parity == "proven"
    assert sides.sync().kind == "incremental"
    for module in (pattern, judgement, publication):
        monkeypatch.setattr(module, "WORDS_RECIPE", "another/2")
    assert sides.sync("full", id_range=ALL_IDS).counts["words_only"] == 30
    assert sides.sync("full").counts["unchanged"] == 30
    assert sides.sync().kind == "incremental"


def test_words_that_a_plain_vector_removed_come_back(sides: TwoSides, server: EmbeddingServer) -> None:
    """A stranger who writes a point as it was, with a plain vector, leaves every hash right."""
    sides = embedded_by(sides, server)
    new = rows(30)
    sides.insert(new)
    sides.sync("full")

    async def rewrite(client: AsyncQdrantClient, some: list[dict[str, Any]]) -> None:
        records = await client.retrieve(sides.collection, [str(row["id"]) for row in some], with_vectors=True)
        structs = [
            models.PointStruct(id=item.id, vector=item.vector[""], payload=item.payload)
            for item in records
            if isinstance(item.vector, dict)
        ]
        assert len(structs) == len(some)
        await client.upsert(sides.collection, structs, wait=True)

    sides.with_client(lambda client: rewrite(client, new[5:25]))
    assert sum(point["words"] is None for point in sides.points().values()) == 20
    server.requests = 0
    [(start, end)] = sides.execute(
        "SELECT min(created_at), max(created_at) + interval '1 s' FROM pattern_lineage_nodes"
    )
    with pytest.raises(ConfigurationError, match="20 with words that are not the row's"):
        sides.sync("verify")
    result = sides.sync("full")
    assert (result.counts["words_only"], result.counts["embedded_texts"], result.parity) == (20, 0, "proven")
    sides.assert_equal_sides()

    sides.with_client(lambda client: rewrite(client, new[5:25]))
    assert sides.sync(interval=(start, end)).counts["words_only"] == 20
    sides.assert_equal_sides()

    sides.with_client(lambda client: rewrite(client, new[:3]))
    healed = sides.sync("verify", heal=True)
    assert (healed.counts["words_only"], healed.counts["embedded_texts"], healed.parity) == (3, 0, "proven")
    sides.assert_equal_sides()
    assert server.requests == 4  # the word before each run


def test_other_words_are_found_by_the_verification(sides: TwoSides) -> None:
    new = rows(10, metadata=json.dumps({"empty": None}), language=None)
    sides.insert(new)
    sides.sync("full")
    other = models.SparseVector(indices=[1, 7], values=[1.0, 2.0])
    edited = [models.PointVectors(id=str(new[4]["id"]), vector={WORDS: other})]
    sides.with_client(lambda client: client.update_vectors(sides.collection, edited, wait=True))
    assert sides.sync("full").parity == "proven", "the hashes alone agree"
    with pytest.raises(ConfigurationError, match="1 with words that are not the row's"):
        sides.sync("verify")
    healed = sides.sync("verify", heal=True)
    assert (healed.counts["words_only"], healed.counts["changed"], healed.parity) == (1, 0, "proven")
    sides.assert_equal_sides()


@pytest.mark.parametrize("own", [True, False], ids=["own collection", "behind the alias"])
def test_a_collection_that_exists_gets_words_in_place(sides: TwoSides, server: EmbeddingServer, own: bool) -> None:
    sides = embedded_by(sides, server)
    sides.insert(rows(40))
    make_as_before(sides, own=own)
    physical, before = names_behind(sides), sides.points()
    assert before == {node_id: {**point, "words": None} for node_id, point in before.items()}
    server.requests = 0
    assert sides.sync("full", dry_run=True).counts["words_only"] == 40
    result = sides.sync()
    assert (result.kind, result.counts["words_only"], result.counts["embedded_texts"]) == ("full", 40, 0)
    assert server.requests == 2  # the word before each run
    assert names_behind(sides) == physical
    sides.assert_equal_sides()
    after = sides.points()
    assert all(after[node_id]["vector"] == point["vector"] for node_id, point in before.items())
    assert sides.sync("verify").parity == "proven"
    assert sides.sync().kind == "incremental"

    # Whoever removes the sparse vector gets it back within the hour.
    sides.with_client(lambda client: client.delete_vector_name(physical, WORDS))
    with pytest.raises(ConfigurationError, match=r"have no words.*Run pattern_sync_full"):
        sides.sync("verify")
    assert (sides.sync().counts["words_only"], server.requests) == (40, 6)
    sides.assert_equal_sides()


def test_a_server_that_adds_no_vector_gets_a_successor_with_the_same_vectors(
    served: TwoSides, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = embedded_by(served, server)
    new = rows(40)
    long = "\n".join(f"value_{line} = compute({line})" for line in range(200))
    new[2]["pattern_data"] = json.dumps({"code": long})
    sides.insert(new)
    make_as_before(sides)
    old, before = names_behind(sides), sides.points()
    curated = [str(row["id"]) for row in new[:5]]
    sides.with_client(lambda client: client.set_payload(sides.collection, {"stars": 5}, points=curated, wait=True))
    monkeypatch.setattr("code_patterns.servers.qdrant._ADDS_VECTORS", (99, 0))

    # Until the full sync an hourly run goes on without words, in the collection that readers see.
    sides.insert(rows(3, start=60))
    hourly = sides.sync()
    assert (hourly.kind, hourly.counts["new"], names_behind(sides)) == ("incremental", 3, old)
    assert all(point["words"] is None and WORDS_HASH not in point for point in sides.points().values())
    assert sides.sync("verify").parity == "proven"

    server.requests = 0
    sides.sync("full", limit=10)
    assert names_behind(sides) == old
    result = sides.sync("full")
    assert (result.counts["new"], result.counts["embedded_texts"], result.parity) == (33, 0, "proven")
    assert server.requests == 2  # the word before each run
    successor = names_behind(sides)
    assert successor != old
    sides.assert_equal_sides()
    after = sides.points()
    for node_id, point in before.items():
        assert after[node_id]["vector"] == pytest.approx(point["vector"], abs=1e-6)
        assert after[node_id].get(TRUNCATED) == point.get(TRUNCATED)
    assert sum(point.get("stars") == 5 for point in after.values()) == 5
    assert sides.sync("full").counts["unchanged"] == 43
    assert names_behind(sides) == successor

    # Whoever goes back stays there, without words, until they go forward again.
    sides.sync("full", rollback=True)
    assert names_behind(sides) == old
    sides.insert(rows(2, start=70))
    assert (sides.sync("full").counts["new"], names_behind(sides)) == (2, old)
    sides.sync("full", rollback=True)
    assert names_behind(sides) == successor
    sides.assert_equal_sides()


def test_a_refused_pattern_is_parked_when_its_words_are_written(served: TwoSides, qdrant_server: QdrantServer) -> None:
    sides = replace(served, qdrant=replace(served.qdrant, url=qdrant_server.url, path=""))
    new = rows(8)
    sides.insert(new)
    sides.sync("full")
    for row in new[:4]:
        describe(sides, row, "A new description")
    qdrant_server.markers[str(new[1]["id"]).encode() + b'","vector'] = STRICT
    result = sides.sync()
    assert (result.counts["words_only"], result.counts["parked"]) == (3, 1)
    assert sides.execute("SELECT node_id, stage FROM pattern_sync_dead_letters") == [(new[1]["id"], "write")]
    qdrant_server.heal()
    result = sides.sync(retry_dead_letters=True)
    assert (result.counts["words_only"], result.dead_letters) == (1, 0)
    sides.assert_equal_sides()


def test_words_of_another_kind_are_refused(sides: TwoSides) -> None:
    vectors = models.VectorParams(size=64, distance=models.Distance.COSINE)
    plain = {WORDS: models.SparseVectorParams()}
    sides.with_client(
        lambda client: client.create_collection(sides.collection, vectors_config=vectors, sparse_vectors_config=plain)
    )
    sides.insert(rows(2))
    with pytest.raises(ConfigurationError, match="a sparse vector 'words' without the modifier IDF"):
        sides.sync("full")


def test_a_sparse_vector_removed_in_mid_run_blames_no_pattern(served: TwoSides, qdrant_server: QdrantServer) -> None:
    sides = replace(served, qdrant=replace(served.qdrant, url=qdrant_server.url, path=""))
    new = rows(12)
    sides.insert(new)
    sides.sync("full")
    for row in new[:6]:
        code(sides, row, "zebra()")

    async def remove(client: AsyncQdrantClient) -> None:
        await client.delete_vector_name(sides.collection, WORDS)

    def hook(operation: Operation, _: int) -> None:
        if operation == "payload":
            qdrant_server.before = None
            sides.with_client(remove)

    qdrant_server.before = hook
    with pytest.raises(OutageError, match="removed its sparse vector 'words'"):
        sides.sync()
    result = sides.sync()
    assert (result.kind, result.counts["parked"], result.counts["embedded_texts"]) == ("full", 0, 1)
    sides.assert_equal_sides()
