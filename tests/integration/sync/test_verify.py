"""Verification reads both sides whole: it finds what hashes hide, names it, and heals exactly that."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, NothingToDoError
from tests.support.two_sides import TwoSides, rows

Disturb = Callable[[AsyncQdrantClient, str, uuid.UUID], Any]


async def delete_point(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    await client.delete(name, points_selector=[str(victim)], wait=True)


async def edit_payload(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    await client.set_payload(name, payload={"code": "evil = 1"}, points=[str(victim)], wait=True)


async def drop_key(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    await client.delete_payload(name, keys=["file_path"], points=[str(victim)], wait=True)


async def zero_vector(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    vectors = [models.PointVectors(id=str(victim), vector=[0.0] * 64)]
    await client.update_vectors(name, points=vectors, wait=True)


CASES = [
    (delete_point, "1 missing in Qdrant"),
    (edit_payload, "1 with a payload that is not the row's"),
    (drop_key, "1 with a payload that is not the row's"),
    (zero_vector, "1 with a vector that is zero"),
]


@pytest.mark.parametrize(("disturb", "told"), CASES, ids=[case[0].__name__ for case in CASES])
@pytest.mark.remedy(Code.POINTS_WRONG)
def test_a_disturbed_point_is_found_named_and_healed(sides: TwoSides, disturb: Disturb, told: str) -> None:
    patterns = rows(40)
    sides.insert(patterns)
    sides.sync("full")
    assert sides.sync("verify").parity == "proven"
    before = sides.points()
    victim = patterns[7]["id"]
    sides.with_client(lambda client: disturb(client, sides.collection, victim))
    with pytest.raises(ConfigurationError, match="1 points of") as found:
        sides.sync("verify")
    assert str(victim) in str(found.value)
    assert told in str(found.value)
    history = sides.execute("SELECT kind, status, parity FROM pattern_sync_runs ORDER BY started_at DESC LIMIT 1")
    assert history == [("verify", "failed", "broken")]

    healed = sides.sync("verify", heal=True)
    assert (healed.parity, healed.counts["new"] + healed.counts["changed"]) == ("proven", 1)
    sides.assert_equal_sides()
    after = sides.points()
    assert {node_id for node_id in after if after[node_id] != before[node_id]} == {victim}
    assert any(after[victim]["vector"])


def test_foreign_points_are_found_and_removed(sides: TwoSides) -> None:
    sides.insert(rows(30))
    sides.sync("full")

    async def add(client: AsyncQdrantClient) -> None:
        batch = models.Batch(ids=[7, str(uuid.uuid4())], vectors=[[1.0] * 64] * 2, payloads=[{}, {}])
        await client.upsert(sides.collection, points=batch)

    sides.with_client(add)
    with pytest.raises(ConfigurationError, match=r"2 points of .*2 with no code pattern behind"):
        sides.sync("verify")
    assert sides.sync("verify", heal=True).counts["deleted"] == 2
    sides.assert_equal_sides()


@pytest.mark.parametrize("mended", [False, True])
@pytest.mark.remedy(Code.MASS_DELETE_REFUSED)
def test_healing_refuses_a_mass_delete_after_everything_else_is_mended(sides: TwoSides, mended: bool) -> None:
    patterns = rows(10)
    sides.insert(patterns)
    sides.sync("full")
    sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [[row["id"] for row in patterns[:6]]])
    sides.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    victim = patterns[9]["id"]
    if mended:
        sides.with_client(lambda client: zero_vector(client, sides.collection, victim))
    with pytest.raises(ConfigurationError, match="Refusing to delete 6 of 10") as refused:
        sides.sync("verify", heal=True)
    assert f"points that were written again: {int(mended)}. Nothing was deleted. Check" in refused.value.message
    assert refused.value.message.endswith("run pattern_verify once with heal and allow_mass_delete.")
    assert any(sides.points()[victim]["vector"])
    assert len(sides.points()) == 10
    assert sides.sync("verify", heal=True, allow_mass_delete=True).counts["deleted"] == 6
    sides.assert_equal_sides()


def test_a_row_changed_behind_the_triggers_is_found(sides: TwoSides) -> None:
    patterns = rows(30)
    sides.insert(patterns)
    sides.sync("full")
    sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"x\": 1}' WHERE id = %s", [patterns[0]["id"]])
    sides.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    with pytest.raises(ConfigurationError, match=str(patterns[0]["id"])):
        sides.sync("verify")
    sides.sync("verify", heal=True)
    sides.assert_equal_sides()


def test_changes_that_wait_for_the_next_run_are_no_flaw(sides: TwoSides) -> None:
    patterns = rows(30)
    sides.insert(patterns)
    sides.insert(rows(1, start=40, pattern_data='"unreadable"'))
    sides.sync("full")
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"x\": 1}' WHERE id = %s", [patterns[0]["id"]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [patterns[1]["id"]])
    sides.insert(rows(1, start=50))
    assert sides.sync("verify").parity == "proven"


def test_keys_of_others_in_the_payload_are_their_business(sides: TwoSides) -> None:
    patterns = rows(10)
    sides.insert(patterns)
    sides.sync("full")

    async def annotate(client: AsyncQdrantClient) -> None:
        await client.set_payload(sides.collection, payload={"stars": 5}, points=[str(patterns[0]["id"])], wait=True)

    sides.with_client(annotate)
    assert sides.sync("verify").parity == "proven"


@pytest.mark.remedy(Code.COMPARISON_NEEDED, Code.NOTHING_TO_DO)
def test_nothing_is_verified_before_the_first_sync_or_in_a_dry_run(sides: TwoSides) -> None:
    with pytest.raises(ConfigurationError, match="Run pattern_sync_full first"):
        sides.sync("verify")
    with pytest.raises(NothingToDoError):
        sides.sync("verify", dry_run=True)
    sides.insert(rows(3))
    sides.sync("full")
    assert sides.sync("verify").parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.ALIAS_GONE)
def test_a_collection_that_readers_cannot_find_is_not_verified(sides: TwoSides) -> None:
    sides.insert(rows(3))
    sides.sync("full")

    async def remove_alias(client: AsyncQdrantClient) -> None:
        gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=sides.collection))
        await client.update_collection_aliases(change_aliases_operations=[gone])

    # The hourly run makes it again too.
    for mode in ("full", "incremental"):
        sides.with_client(remove_alias)
        aliases = sides.with_client(lambda client: client.get_aliases()).aliases
        assert sides.collection not in {item.alias_name for item in aliases}
        with pytest.raises(ConfigurationError, match=f"alias '{sides.collection}' is gone.*Run pattern_sync_full"):
            sides.sync("verify")
        sides.sync(mode)
        assert sides.sync("verify").parity == "proven"
        sides.assert_equal_sides()
