"""The full sync as a DAG run with shards: mapped when it pays, skipped when it does not, and never forgotten."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from code_patterns.servers.qdrant_config import QdrantConfig
from tests.conftest import config_of
from tests.dags.conftest import Outcome
from tests.support.faulty_qdrant import STRICT, QdrantServer
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def sides(migrated_database: str, qdrant_server: QdrantServer) -> Iterator[TwoSides]:
    """A migrated, empty database and a collection in that Qdrant."""
    qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    sides = TwoSides(config_of(migrated_database), qdrant, f"test_{uuid.uuid4().hex[:12]}")
    yield sides
    qdrant_server.heal()

    async def drop(client: Any) -> None:
        for item in (await client.get_collections()).collections:
            if item.name.startswith(sides.collection):
                await client.delete_collection(item.name)

    sides.with_client(drop)


def history(sides: TwoSides) -> list[tuple[Any, ...]]:
    return sides.execute(
        "SELECT kind, status, count(*)::int, sum(created)::int FROM pattern_sync_runs GROUP BY 1, 2 ORDER BY 1, 2"
    )


def test_little_work_is_done_by_one_task(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(30))
    outcome = run_dag("pattern_sync_full")
    assert (outcome.state, outcome.xcom["new"], outcome.xcom["parity"]) == ("success", 30, "proven")
    assert history(connected) == [("full", "succeeded", 1, 30), ("verify", "succeeded", 1, 0)]
    connected.assert_equal_sides()


def test_shards_share_the_writing(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(90))
    outcome = run_dag("pattern_sync_full", shards=3)
    assert (outcome.state, outcome.xcom["unchanged"], outcome.xcom["parity"]) == ("success", 90, "proven")
    assert history(connected) == [
        ("full", "succeeded", 1, 0),
        ("shard", "succeeded", 3, 90),
        ("verify", "succeeded", 1, 0),
    ]
    assert outcome.log.count("What the shard sync of '") == 3
    connected.assert_equal_sides()


def test_ranges_and_counts_are_all_that_xcom_holds(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(20))
    ranges = run_dag("pattern_sync_full", task_id="partition", shards=2).xcom
    assert len(ranges) == 2
    assert all(uuid.UUID(value) for part in ranges for value in part.values())
    assert [set(part) for part in ranges] == [{"first", "last"}] * 2


def test_what_shards_add_does_not_hide_a_mass_delete(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(20))
    run_dag("pattern_sync_full")
    connected.execute("DELETE FROM pattern_lineage_nodes")
    connected.insert(rows(200, start=50))
    refused = run_dag("pattern_sync_full", shards=2)
    assert refused.state == "failed"
    assert refused.message.startswith("Refusing to delete 20 of 220 points")


def test_after_a_shard_that_fails_for_good_nothing_is_claimed(
    connected: TwoSides, run_dag: Callable[..., Outcome], qdrant_server: QdrantServer
) -> None:
    patterns = rows(90)
    connected.insert(patterns)
    # The writes that hold this one id are refused, and so is the harmless point that is tried then.
    qdrant_server.markers[f'"id":"{max(row["id"] for row in patterns)}"'.encode()] = STRICT
    qdrant_server.markers[b"[1.0,1.0,1.0"] = STRICT
    failed = run_dag("pattern_sync_full", shards=3)
    assert failed.state == "failed"
    assert "Max points count limit" in failed.message
    assert ("shard", "failed", 1, 0) in history(connected)
    assert {kind for kind, *_ in history(connected)} == {"shard"}, "the full sync ran although a shard had failed"
    assert connected.execute("SELECT * FROM pattern_sync_checkpoints WHERE watermark_xid IS NOT NULL") == []
    assert len(connected.points()) == 60

    qdrant_server.heal()
    repaired = run_dag("pattern_sync_full")
    assert (repaired.state, repaired.xcom["new"], repaired.xcom["unchanged"]) == ("success", 30, 60)
    connected.assert_equal_sides()


@pytest.mark.parametrize("param", [{"limit": 10}, {"dry_run": True}])
def test_dry_and_limited_runs_are_never_cut(
    connected: TwoSides, run_dag: Callable[..., Outcome], param: dict[str, Any]
) -> None:
    connected.insert(rows(30))
    outcome = run_dag("pattern_sync_full", shards=3, **param)
    assert outcome.state == "success"
    assert "shard" not in {kind for kind, *_ in history(connected)}
