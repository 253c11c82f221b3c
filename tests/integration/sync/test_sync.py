"""The sync against a real PostgreSQL and the real Qdrant API: final content on both sides, whatever users do."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, ParityError
from code_patterns.sync.pattern import SYNC_TIMESTAMP
from code_patterns.sync.target import PatternTarget
from tests.support.two_sides import TwoSides, rows

pytestmark = pytest.mark.usefixtures("sides")


def test_first_full_sync_brings_every_row_and_proves_it(sides: TwoSides) -> None:
    sides.insert(rows(257))
    sides.insert(rows(5, start=300, pattern_type="config"))
    result = sides.sync("full")
    assert result.counts == {
        "examined": 257,
        "new": 257,
        "changed": 0,
        "words_only": 0,
        "payload_only": 0,
        "unchanged": 0,
        "deleted": 0,
        "parked": 0,
        "embedded_texts": 257,
        "embedded_characters": sum(len(point["text"]) for point in sides.points().values()),
    }
    assert result.parity == "proven"
    sides.assert_equal_sides()


def test_rows_as_old_installations_wrote_them(sides: TwoSides) -> None:
    code = "def naïve(): return '日本語 🐍'"
    odd = [
        {"pattern_data": json.dumps(json.dumps({"code": code}))},
        {"pattern_data": json.dumps({"code": ""})},
        {"pattern_data": json.dumps({"code": None})},
        {"pattern_data": json.dumps({"other": 1})},
        {"metadata": None},
        {"metadata": json.dumps(["a", {"b": None}])},
        {"file_path": None, "language": None},
        {"pattern_data": json.dumps({"code": code * 10_000})},
        {"pattern_id": None, "pattern_name": None},
    ]
    sides.insert({**row, **changes} for row, changes in zip(rows(len(odd)), odd, strict=True))
    result = sides.sync("full")
    assert (result.counts["new"], result.counts["parked"], result.parity) == (len(odd), 0, "proven")
    sides.assert_equal_sides()
    texts = {point["text"] for point in sides.points().values()}
    assert any(text.startswith("File: unknown") or "Path: unknown" in text for text in texts)


@pytest.mark.remedy(Code.ROW_UNREADABLE)
def test_unreadable_rows_are_parked_and_leave_when_mended(sides: TwoSides) -> None:
    bad = rows(3)
    bad[0]["pattern_data"] = json.dumps("this is no JSON")
    bad[1]["pattern_data"] = json.dumps({"code": ["a", "list"]})
    bad[2]["metadata"] = "[" * 200 + "]" * 200
    sides.insert(rows(10, start=20))
    sides.insert(bad)
    result = sides.sync("full")
    assert (result.counts["new"], result.counts["parked"], result.parity) == (10, 3, "proven")
    assert len(sides.points()) == 10
    failures = dict(sides.execute("SELECT node_id, error FROM pattern_sync_dead_letters WHERE stage = 'read'"))
    assert failures.keys() == {row["id"] for row in bad}
    assert "is not valid JSON" in failures[bad[0]["id"]]
    assert "JSON array" in failures[bad[1]["id"]]
    assert "nests deeper" in failures[bad[2]["id"]]

    again = sides.sync(retry_dead_letters=True)
    assert again.counts["parked"] == 3
    assert {row[0] for row in sides.execute("SELECT attempts FROM pattern_sync_dead_letters")} == {2}

    sides.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = %s", ['{"code": "x = 1"}', bad[0]["id"]]
    )
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [bad[1]["id"]])
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{}' WHERE id = %s", [bad[2]["id"]])
    mended = sides.sync()
    assert (mended.counts["new"], mended.counts["parked"], mended.dead_letters) == (2, 0, 0)
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []
    sides.assert_equal_sides()


def test_incremental_does_exactly_what_changed(sides: TwoSides) -> None:
    patterns = rows(300)
    sides.insert(patterns)
    sides.execute("ALTER TABLE pattern_lineage_nodes ADD COLUMN IF NOT EXISTS usage_count int DEFAULT 0")
    sides.sync("full")
    before = sides.points()

    ids = [row["id"] for row in patterns]
    sides.insert(rows(7, start=400))
    sides.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = pattern_data || %s::jsonb WHERE id = ANY(%s)",
        ['{"code": "changed = True"}', ids[:5]],
    )
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"seen\": true}' WHERE id = ANY(%s)", [ids[5:15]])
    sides.execute("UPDATE pattern_lineage_nodes SET usage_count = usage_count + 1")
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_type = 'template' WHERE id = ANY(%s)", [ids[15:17]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [ids[17:20]])

    result = sides.sync()
    assert result.kind == "incremental"
    assert result.counts == {
        "examined": 27,
        "new": 7,
        "changed": 5,
        "words_only": 0,
        "payload_only": 10,
        "unchanged": 0,
        "deleted": 5,
        "parked": 0,
        "embedded_texts": 7 + len({row["file_path"] for row in patterns[:5]}),
        "embedded_characters": result.counts["embedded_characters"],
    }
    sides.assert_equal_sides()
    after = sides.points()
    for node_id in ids[5:15]:
        assert after[node_id]["vector"] == before[node_id]["vector"]
    # If the point that witnesses the last write is deleted, another one gets its mark.
    witness = sum(after[node_id] != before[node_id] for node_id in ids[20:])
    assert witness <= 1, "an untouched point was written again"


def test_running_twice_changes_nothing(sides: TwoSides) -> None:
    sides.insert(rows(150))
    sides.sync("full")
    before = sides.points()
    assert sides.sync().counts["examined"] == 0
    again = sides.sync("full")
    assert (again.counts["unchanged"], again.counts["embedded_texts"]) == (150, 0)
    assert sides.points() == before
    assert {point[SYNC_TIMESTAMP] for point in before.values()}


def test_identical_texts_are_embedded_once(sides: TwoSides) -> None:
    same = {"pattern_data": '{"code": "pass"}', "file_path": "a.py", "language": "python"}
    sides.insert({**row, **same} for row in rows(40))
    sides.insert(rows(3, start=50))
    result = sides.sync("full", batch_size=5)
    assert (result.counts["new"], result.counts["embedded_texts"]) == (43, 4)
    sides.assert_equal_sides()


def test_first_incremental_run_compares_everything(sides: TwoSides) -> None:
    sides.insert(rows(30))
    result = sides.sync()
    assert (result.kind, result.counts["new"], result.parity) == ("full", 30, "proven")
    sides.insert(rows(3, start=40))
    second = sides.sync()
    assert (second.kind, second.counts["new"]) == ("incremental", 3)
    sides.assert_equal_sides()


def test_rows_older_than_the_trigger_come_with_the_first_run(sides: TwoSides) -> None:
    sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    sides.insert(rows(20))
    sides.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    assert sides.execute("SELECT count(*) FROM pattern_lineage_nodes WHERE sync_xid IS NOT NULL") == [(0,)]
    assert sides.sync().counts["new"] == 20
    sides.assert_equal_sides()


def test_deleted_and_inserted_again_under_the_same_id(sides: TwoSides) -> None:
    patterns = rows(10)
    sides.insert(patterns)
    sides.sync("full")
    sides.execute("DELETE FROM pattern_lineage_nodes")
    patterns[0]["pattern_data"] = '{"code": "back = True"}'
    sides.insert(patterns)
    result = sides.sync()
    # The nine others have only another created_at.
    assert (result.counts["deleted"], result.counts["changed"], result.counts["payload_only"]) == (0, 1, 9)
    sides.assert_equal_sides()


def test_changed_primary_key_moves_the_point(sides: TwoSides) -> None:
    patterns = rows(5)
    sides.insert(patterns)
    sides.sync("full")
    sides.execute("UPDATE pattern_lineage_nodes SET id = gen_random_uuid() WHERE id = %s", [patterns[0]["id"]])
    result = sides.sync()
    assert (result.counts["new"], result.counts["deleted"]) == (1, 1)
    sides.assert_equal_sides()


def test_truncate_empties_the_collection_with_the_next_hourly_run(sides: TwoSides) -> None:
    sides.insert(rows(20))
    sides.sync("full")
    sides.execute("TRUNCATE pattern_lineage_nodes CASCADE")
    sides.insert(rows(2, start=30))
    result = sides.sync()
    assert (result.counts["new"], result.counts["deleted"]) == (2, 20)
    sides.assert_equal_sides()


def test_full_sync_removes_orphans_and_nothing_else(sides: TwoSides) -> None:
    sides.insert(rows(100))
    sides.sync("full")
    other = f"{sides.collection}_curated"

    async def disturb(client: AsyncQdrantClient) -> None:
        await client.create_collection(other, vectors_config=models.VectorParams(size=4, distance="Cosine"))
        await client.upsert(other, points=models.Batch(ids=[1], vectors=[[1, 2, 3, 4]], payloads=[{"by": "hand"}]))
        vector = [1.0] * sides.embedding.dimension
        ids = [1761955847246, str(uuid.uuid4())]
        await client.upsert(sides.collection, points=models.Batch(ids=ids, vectors=[vector, vector], payloads=[{}, {}]))

    sides.with_client(disturb)
    other_before = sides.points(other)
    result = sides.sync("full")
    assert (result.counts["deleted"], result.counts["unchanged"], result.parity) == (2, 100, "proven")
    sides.assert_equal_sides()
    assert sides.points(other) == other_before


def test_full_sync_repairs_what_the_triggers_did_not_see(sides: TwoSides) -> None:
    patterns = rows(40)
    sides.insert(patterns)
    sides.sync("full")
    sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE id = %s", [patterns[0]["id"]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [patterns[1]["id"]])
    sides.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    result = sides.sync("full")
    assert (result.counts["words_only"], result.counts["deleted"]) == (1, 1)
    sides.assert_equal_sides()


@pytest.mark.parametrize("left", [0, 10])
@pytest.mark.remedy(Code.MASS_DELETE_REFUSED)
def test_full_sync_refuses_a_mass_delete_unless_allowed_once(sides: TwoSides, left: int) -> None:
    patterns = rows(50)
    sides.insert(patterns)
    sides.sync("full")
    sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [[row["id"] for row in patterns[left:]]])
    sides.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    new = rows(left and 1, start=60)
    sides.insert(new)
    for dry_run, done in (
        (True, "This was a dry run: nothing was written."),
        (False, "New and changed patterns were synced, nothing was deleted."),
    ):
        with pytest.raises(ConfigurationError, match=f"Refusing to delete {50 - left} of .*allow_mass_delete") as said:
            sides.sync("full", dry_run=dry_run)
        assert f" {done} Check" in said.value.message
        assert len(sides.points()) == 50 + (0 if dry_run else len(new))
    assert sides.execute("SELECT status FROM pattern_sync_runs ORDER BY started_at DESC LIMIT 1") == [("failed",)]
    left += len(new)
    assert sides.execute("SELECT count(*) FROM pattern_lineage_nodes WHERE pattern_type = 'code'") == [(left,)]
    result = sides.sync("full", allow_mass_delete=True)
    assert result.counts["deleted"] == 50 + len(new) - left
    sides.assert_equal_sides()


@pytest.mark.parametrize("adopted", [False, True])
def test_what_a_refused_run_has_added_does_not_let_the_next_one_delete(sides: TwoSides, adopted: bool) -> None:
    """As with a connection to the wrong database, one with far more patterns."""
    if adopted:
        vectors = models.VectorParams(size=sides.embedding.dimension, distance=models.Distance.COSINE)
        vector = [1.0] * sides.embedding.dimension
        points = [models.PointStruct(id=str(uuid.uuid4()), vector=vector, payload={}) for _ in range(30)]

        async def create(client: AsyncQdrantClient) -> None:
            await client.create_collection(sides.collection, vectors_config=vectors)
            await client.upsert(sides.collection, points, wait=True)

        sides.with_client(create)
    else:
        sides.insert(rows(30))
        sides.sync("full")
        sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
        sides.execute("DELETE FROM pattern_lineage_nodes")
        sides.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    sides.insert(rows(200, start=50))
    for _ in range(3):
        with pytest.raises(ConfigurationError, match=r"Refusing to delete 30 of .*allow_mass_delete"):
            sides.sync("full")
    assert len(sides.points()) == 230
    assert sides.sync("full", allow_mass_delete=True).counts["deleted"] == 30
    sides.assert_equal_sides()


def test_the_share_that_may_be_deleted_is_inclusive(sides: TwoSides) -> None:
    patterns = rows(50)
    sides.insert(patterns)
    sides.sync("full")
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [[row["id"] for row in patterns[:10]]])
    assert sides.sync("full").counts["deleted"] == 10


def test_dry_run_writes_nothing_and_counts_what_the_real_run_does(sides: TwoSides) -> None:
    patterns = rows(60)
    sides.insert(patterns)
    tables = ("pattern_sync_checkpoints", "pattern_sync_dead_letters", "pattern_sync_runs", "pattern_sync_tombstones")

    def everything() -> list[object]:
        return [sides.execute(f"SELECT * FROM {table} ORDER BY 1") for table in tables]

    async def collections(client: AsyncQdrantClient) -> set[str]:
        names = {item.name for item in (await client.get_collections()).collections}
        return {name for name in names if name.startswith(sides.collection)}

    def compare(mode: str) -> None:
        before, points = everything(), sides.points() if sides.with_client(collections) else {}
        planned = sides.sync(mode, dry_run=True)
        assert everything() == before
        assert (sides.points() if sides.with_client(collections) else {}) == points
        done = sides.sync(mode)
        expected = {**done.counts, "embedded_texts": 0, "embedded_characters": 0}
        assert {**planned.counts} == expected
        assert (planned.kind, planned.parity) == (done.kind, "not proven")

    compare("full")
    sides.insert(rows(5, start=100))
    sides.insert(rows(1, start=120, pattern_data='"no JSON"'))
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [patterns[0]["id"]])
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{}' WHERE id = %s", [patterns[1]["id"]])
    compare("incremental")
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [[row["id"] for row in patterns[2:6]]])
    compare("full")


def test_limit_goes_on_where_it_stopped(sides: TwoSides) -> None:
    sides.insert(rows(10))
    sides.sync("full")
    sides.insert(rows(25, start=10))
    seen = [sides.sync(limit=10).counts["new"] for _ in range(4)]
    assert seen == [10, 10, 5, 0]
    sides.assert_equal_sides()


def test_limited_full_sync_deletes_and_proves_nothing(sides: TwoSides) -> None:
    sides.insert(rows(30))
    result = sides.sync("full", limit=10)
    assert (result.counts["new"], result.parity, result.watermark_xid) == (10, "not proven", None)
    assert len(sides.points()) == 10
    result = sides.sync()
    assert (result.kind, result.counts["new"], result.counts["unchanged"]) == ("full", 20, 10)
    sides.assert_equal_sides()


def test_interval_resyncs_exactly_the_rows_of_those_hours(sides: TwoSides) -> None:
    patterns = rows(12)
    sides.insert(patterns)
    sides.sync("full")
    start = datetime(2026, 3, 1, 10, tzinfo=UTC)
    sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    moments = [timedelta(hours=-1), timedelta(0), timedelta(minutes=30), timedelta(hours=1)]
    for row, moment in zip(patterns, moments, strict=False):
        sides.execute(
            "UPDATE pattern_lineage_nodes SET created_at = %s, updated_at = NULL, pattern_name = 'x' WHERE id = %s",
            [start + moment, row["id"]],
        )
    sides.execute(
        "UPDATE pattern_lineage_nodes SET updated_at = %s, pattern_name = 'x' WHERE id = %s",
        [start + timedelta(minutes=59, seconds=59), patterns[4]["id"]],
    )
    sides.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    state = sides.execute("SELECT watermark_xid::text, watermark_id FROM pattern_sync_checkpoints")

    result = sides.sync(interval=(start, start + timedelta(hours=1)))
    assert (result.kind, result.counts["examined"]) == ("interval", 3)
    renamed = {node_id for node_id, point in sides.points().items() if point["pattern_name"] == "x"}
    assert renamed == {patterns[index]["id"] for index in (1, 2, 4)}
    assert sides.execute("SELECT watermark_xid::text, watermark_id FROM pattern_sync_checkpoints") == state


def test_restored_database_means_one_full_sync(sides: TwoSides) -> None:
    sides.insert(rows(10))
    sides.sync("full")
    sides.execute("UPDATE pattern_sync_checkpoints SET system_identifier = '1'")
    assert sides.sync().kind == "full"
    assert sides.sync().kind == "incremental"
    sides.execute("UPDATE pattern_sync_checkpoints SET watermark_xid = '999999999'")
    assert sides.sync().kind == "full"


def test_replaced_collection_means_one_full_sync(sides: TwoSides) -> None:
    sides.insert(rows(10))
    sides.sync("full")

    async def drop(client: AsyncQdrantClient) -> None:
        for item in (await client.get_collections()).collections:
            if item.name.startswith(sides.collection):
                await client.delete_collection(item.name)

    sides.with_client(drop)
    result = sides.sync()
    assert (result.kind, result.counts["new"]) == ("full", 10)
    sides.assert_equal_sides()


def test_existing_collection_is_used_as_it_is(sides: TwoSides) -> None:
    patterns = rows(20)
    sides.insert(patterns)

    async def create(client: AsyncQdrantClient) -> None:
        size = sides.embedding.dimension
        await client.create_collection(
            sides.collection, vectors_config=models.VectorParams(size=size, distance="Cosine")
        )
        await client.upsert(
            sides.collection,
            points=models.Batch(ids=[str(patterns[0]["id"])], vectors=[[1.0] * size], payloads=[{"text": "old"}]),
        )

    sides.with_client(create)
    result = sides.sync("full")
    assert (result.counts["changed"], result.counts["new"]) == (1, 19)
    sides.assert_equal_sides()
    assert sides.sync().kind == "incremental"

    async def names(client: AsyncQdrantClient) -> list[str]:
        return [i.name for i in (await client.get_collections()).collections if i.name.startswith(sides.collection)]

    assert sides.with_client(names) == [sides.collection]


def test_wrong_dimension_of_an_existing_collection_changes_nothing(sides: TwoSides) -> None:
    sides.insert(rows(3))

    async def create(client: AsyncQdrantClient) -> None:
        await client.create_collection(sides.collection, vectors_config=models.VectorParams(size=7, distance="Cosine"))
        await client.upsert(sides.collection, points=models.Batch(ids=[5], vectors=[[1.0] * 7], payloads=[{}]))

    sides.with_client(create)
    with pytest.raises(ConfigurationError, match=r"vectors of 7 dimensions, .* makes 64"):
        sides.sync("full")
    assert sides.points().keys() == {5}
    assert sides.execute("SELECT * FROM pattern_sync_runs") == []


def test_another_model_builds_a_second_collection_and_swaps_the_alias(sides: TwoSides) -> None:
    sides.insert(rows(30))
    sides.sync("full")
    other = sides.with_embedding(dimension=96)
    sides.insert(rows(2, start=40))
    hourly = other.sync()
    assert (hourly.kind, hourly.counts["new"]) == ("incremental", 2)
    sides.assert_equal_sides()
    result = other.sync("full")
    assert (result.counts["new"], result.parity) == (32, "proven")
    other.assert_equal_sides()
    assert other.sync().kind == "incremental"

    async def names(client: AsyncQdrantClient) -> int:
        return sum(i.name.startswith(sides.collection) for i in (await client.get_collections()).collections)

    assert sides.with_client(names) == 2


def test_another_model_of_the_same_dimension_re_embeds_a_users_own_collection(sides: TwoSides) -> None:
    sides.insert(rows(20))

    async def create(client: AsyncQdrantClient) -> None:
        vectors = models.VectorParams(size=sides.embedding.dimension, distance=models.Distance.COSINE)
        await client.create_collection(sides.collection, vectors_config=vectors)

    sides.with_client(create)
    sides.sync("full")
    other = sides.with_embedding(model="hashing-v2")
    assert other.sync().counts["examined"] == 0
    assert other.sync("full").counts["changed"] == 20
    assert other.sync().kind == "incremental"
    other.assert_equal_sides()


@pytest.mark.remedy(Code.NOT_EQUAL_AFTER_SYNC)
def test_something_else_writing_to_the_collection_breaks_parity(
    sides: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    from code_patterns.sync.target import PatternTarget

    sides.insert(rows(10))
    original = PatternTarget.upsert

    async def upsert_and_disturb(self: PatternTarget, patterns: list, vectors: object) -> None:
        await original(self, patterns, vectors)
        await self._client.delete(self.collection.physical, points_selector=[str(patterns[0].id)], wait=True)

    monkeypatch.setattr(PatternTarget, "upsert", upsert_and_disturb)
    with pytest.raises(ParityError, match="1 patterns still differ"):
        sides.sync("full")
    assert sides.execute("SELECT status, parity FROM pattern_sync_runs") == [("failed", "broken")]
    monkeypatch.undo()
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


def test_after_a_broken_parity_the_hourly_run_compares_everything(
    sides: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.insert(rows(10))
    sides.sync("full")
    [(victim,)] = sides.execute("SELECT min(id::text)::uuid FROM pattern_lineage_nodes")
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'another' WHERE id <> %s", [victim])
    original = PatternTarget.set_words

    async def set_and_disturb(self: PatternTarget, patterns: list[Any]) -> None:
        await original(self, patterns)
        await self._client.delete(self.collection.physical, points_selector=[str(victim)], wait=True)

    with monkeypatch.context() as disturbed:
        disturbed.setattr(PatternTarget, "set_words", set_and_disturb)
        with pytest.raises(ParityError, match=f"1 patterns still differ .*{victim}"):
            sides.sync("full")
    result = sides.sync()
    assert (result.kind, result.parity, result.counts["new"]) == ("full", "proven", 1)
    sides.assert_equal_sides()
    assert sides.sync().kind == "incremental"


def test_unmigrated_database_says_what_to_run(empty_database: str, sides: TwoSides) -> None:
    from tests.conftest import config_of

    sides.postgres = config_of(empty_database)
    with pytest.raises(ConfigurationError, match=r"lacks pattern_lineage_nodes.*Run schema_migration first"):
        sides.sync("full")


def test_history_tells_every_run(sides: TwoSides) -> None:
    sides.insert(rows(5))
    sides.sync("full")
    sides.insert(rows(2, start=10))
    sides.sync()
    history = sides.execute(
        "SELECT kind, status, examined, created, parity, dag_id, finished_at IS NOT NULL, watermark_to IS NOT NULL "
        "FROM pattern_sync_runs ORDER BY started_at"
    )
    assert history == [
        ("full", "succeeded", 5, 5, "proven", "dag", True, True),
        ("incremental", "succeeded", 2, 2, "not proven", "dag", True, True),
    ]


def test_open_transaction_holds_its_rows_back_and_loses_none(sides: TwoSides) -> None:
    sides.insert(rows(5))
    sides.sync("full")
    with psycopg.connect(sides.postgres.conninfo) as slow:
        slow.execute(
            "UPDATE pattern_lineage_nodes SET pattern_name = 'late' "
            "WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 1)"
        )
        sides.insert(rows(3, start=20))
        assert sides.sync(settled=False).counts["examined"] == 0
        slow.commit()
    result = sides.sync()
    assert (result.counts["new"], result.counts["words_only"]) == (3, 1)
    sides.assert_equal_sides()


def test_a_transaction_that_this_role_may_not_look_into_is_no_obstacle(sides: TwoSides) -> None:
    sides.insert(rows(3))
    sides.sync("full")
    owner, other = f"{sides.postgres.database}_a", f"{sides.postgres.database}_b"
    for role in (owner, other):
        sides.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        sides.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        plain = replace(sides, postgres=replace(sides.postgres, user=owner, password="x"))
        with psycopg.connect(replace(sides.postgres, user=other, password="x").conninfo) as slow:
            slow.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'y'")
            assert plain.sync(settled=False).kind == "incremental"
    finally:
        for role in (owner, other):
            sides.execute(f"DROP OWNED BY {role}")
            sides.execute(f"DROP ROLE {role}")


FORGET_WATERMARK = "UPDATE pattern_sync_checkpoints SET watermark_xid = NULL, watermark_id = NULL"


def test_an_hourly_run_that_compares_everything_deletes_what_was_recorded_as_deleted(sides: TwoSides) -> None:
    """As after a run that was killed, before a restart of PostgreSQL, in an hour with many deletions."""
    patterns = rows(50)
    sides.insert(patterns)
    sides.sync("full")
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [[row["id"] for row in patterns[10:]]])
    sides.execute(FORGET_WATERMARK)
    # A run by hand or at night asks a person.
    with pytest.raises(ConfigurationError, match="Refusing to delete 40 of 50 "):
        sides.sync("full")
    result = sides.sync("incremental")
    assert (result.kind, result.parity, result.counts["deleted"]) == ("full", "proven", 40)
    sides.assert_equal_sides()


@pytest.mark.parametrize("left", [0, 10])
def test_an_hourly_run_that_compares_everything_refuses_what_nobody_recorded(sides: TwoSides, left: int) -> None:
    patterns = rows(50)
    sides.insert(patterns)
    sides.sync("full")
    ids = [row["id"] for row in patterns]
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [ids[left:]])
    if left:
        # Of 40 deletions 11 were not recorded, one more than may pass.
        sides.execute("DELETE FROM pattern_sync_tombstones WHERE node_id = ANY(%s)", [ids[-11:]])
    sides.execute(FORGET_WATERMARK)
    with pytest.raises(ConfigurationError, match=f"Refusing to delete {50 - left} of 50 "):
        sides.sync("incremental")
    assert len(sides.points()) == 50
