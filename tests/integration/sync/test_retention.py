"""What was kept for long enough goes, and nothing else: final content on both sides."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from qdrant_client import models

from code_patterns.errors import ConfigurationError
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.collection import METADATA_KEY
from code_patterns.sync.retention import RetentionResult, prune
from code_patterns.sync.run_locks import collection_lock
from code_patterns.sync.source import PatternSource
from code_patterns.sync.sync_settings import RetentionSettings
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget
from tests.support.faulty_qdrant import Fault, QdrantServer
from tests.support.running_stream import stream_between
from tests.support.two_qdrants import namesakes
from tests.support.two_sides import TwoSides, rows

FOR_EVER = {"run_days": 0, "tombstone_days": 0, "collection_days": 0}


def pruned(sides: TwoSides, *, dry_run: bool = False, **days: int) -> RetentionResult:
    """Delete what is old; what is not named is kept for ever."""
    chosen = {**FOR_EVER, **days}
    target = sides.settings.get("target", WITHOUT_NAME)
    settings = RetentionSettings(
        collection=sides.collection, dry_run=dry_run, patience_seconds=0.0, target=target, **chosen
    )
    return asyncio.run(prune(sides.as_sync, sides.qdrant, settings))


def collections(sides: TwoSides) -> dict[str, set[str]]:
    """The collections of this test, each with the aliases that name it."""

    async def look(client: Any) -> dict[str, set[str]]:
        found = {
            item.name: set[str]()
            for item in (await client.get_collections()).collections
            if item.name.startswith(sides.collection)
        }
        for item in (await client.get_aliases()).aliases:
            if item.collection_name in found:
                found[item.collection_name].add(item.alias_name)
        return found

    found: dict[str, set[str]] = sides.with_client(look)
    return found


def described(sides: TwoSides, physical: str, **changes: Any) -> dict[str, Any]:
    """Change the description of a collection; return it as it was."""

    async def change(client: Any) -> dict[str, Any]:
        metadata = (await client.get_collection(physical)).config.metadata
        changed = {METADATA_KEY: {**metadata[METADATA_KEY], **changes}}
        await client.update_collection(physical, metadata=changed)
        return dict(metadata[METADATA_KEY])

    before: dict[str, Any] = sides.with_client(change)
    return before


def unused_for(sides: TwoSides, physical: str, days: float) -> None:
    """Let a collection be seen unused for the first time so many days ago."""
    described(sides, physical, unused_since=(datetime.now(UTC) - timedelta(days=days)).isoformat())


def grown(sides: TwoSides, *dimensions: int) -> list[str]:
    """Sync 20 rows with a model of each dimension after the other; return the collections in that order."""
    sides.insert(rows(20))
    made = []
    for dimension in dimensions:
        sides.with_embedding(dimension=dimension).sync("full")
        made += [name for name, aliases in collections(sides).items() if aliases]
    return made


# --- old collections


def test_an_old_collection_goes_after_its_days_and_rollback_works_until_then(sides: TwoSides) -> None:
    old, new = grown(sides, 64, 96)
    other = sides.with_embedding(dimension=96)
    assert pruned(other, collection_days=30).old == ()
    unused_for(other, old, 29)
    assert pruned(other, collection_days=30).old == ()
    assert collections(sides) == {old: set(), new: {sides.collection}}

    assert other.sync("full", rollback=True).parity == "proven"
    assert other.sync("full", rollback=True).parity == "proven"
    # It was read again meanwhile, so its days begin anew.
    assert pruned(other, collection_days=30).old == ()
    unused_for(other, old, 31)
    assert pruned(other, collection_days=30) == RetentionResult(0, 0, 0, 0, old=(old,), dangling=())
    assert collections(sides) == {new: {sides.collection}}
    other.assert_equal_sides()
    with pytest.raises(ConfigurationError, match=f"{old} is gone"):
        other.sync("full", rollback=True)
    assert sides.execute("SELECT collection FROM pattern_sync_checkpoints") == [(new,)]


def test_zero_days_keep_every_collection(sides: TwoSides) -> None:
    old, new = grown(sides, 64, 96)
    unused_for(sides, old, 4000)
    assert pruned(sides, collection_days=0).old == ()
    assert set(collections(sides)) == {old, new}


def test_the_days_begin_when_it_is_first_seen_unused(sides: TwoSides) -> None:
    old, new = grown(sides, 64, 96)
    assert described(sides, old)["unused_since"] is None
    pruned(sides, collection_days=1)
    age = datetime.now(UTC) - datetime.fromisoformat(described(sides, old)["unused_since"])
    assert timedelta() <= age < timedelta(minutes=10)
    assert described(sides, new)["unused_since"] is None


def test_a_collection_that_is_written_or_read_again_is_not_old(sides: TwoSides) -> None:
    first, second, third = grown(sides, 64, 96, 128)
    for physical in (first, second):
        unused_for(sides, physical, 100)

    async def name_again(client: Any) -> None:
        # Any alias counts, not only the sync's.
        create = models.CreateAlias(collection_name=first, alias_name=f"{sides.collection}_readers")
        await client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])

    sides.with_client(name_again)
    # A build that does not come to its end is in use as well; it reaches all but one of the new rows.
    sides.insert(rows(3, 50))
    sides.with_embedding(dimension=96).sync("full", limit=22)
    assert pruned(sides, collection_days=30).old == ()
    assert collections(sides) == {first: {f"{sides.collection}_readers"}, second: set(), third: {sides.collection}}
    assert described(sides, first)["unused_since"] is None


def test_a_collection_that_runs_name_themselves_is_not_old(sides: TwoSides) -> None:
    """Nothing of it need change for as long as it is kept."""
    old, _ = grown(sides, 64, 96)
    replace(sides, collection=old).sync()
    unused_for(sides, old, 100)
    assert pruned(sides, collection_days=30).old == ()
    last_run(sides, old, 31)
    assert pruned(sides, collection_days=30).old == (old,)


def test_a_collection_that_another_target_names_itself_is_not_old(sides: TwoSides) -> None:
    old, _ = grown(sides, 64, 96)
    team = replace(sides, collection=old, settings={"target": SyncTarget("team_a")})
    assert team.sync("full", take_over=True).parity == "proven"
    unused_for(sides, old, 100)
    last_run(sides, old, 100)
    # Its run was killed: never proven, and nobody has gone on.
    described(sides, old, points=None)
    assert pruned(sides, collection_days=30) == RetentionResult(0, 0, 0, 0, old=(), dangling=())
    assert old in collections(sides)


def test_a_collection_that_a_run_holds_stays(sides: TwoSides) -> None:
    old, _ = grown(sides, 64, 96)
    unused_for(sides, old, 100)

    async def prune_beside_a_run() -> RetentionResult:
        async with LockedSession.open(sides.as_sync) as session:
            await session.take(collection_lock(old, shared=True))
            settings = RetentionSettings(collection=sides.collection, collection_days=30)
            return await prune(sides.as_sync, sides.qdrant, settings)

    assert asyncio.run(prune_beside_a_run()).old == ()
    assert old in collections(sides)
    assert pruned(sides, collection_days=30).old == (old,)


@pytest.mark.parametrize("change", [{"id": "00000000-0000-0000-0000-000000000001"}, {"name": "staging"}, None])
def test_collections_of_another_database_or_without_an_owner_stay(
    sides: TwoSides, change: dict[str, str] | None
) -> None:
    old, new = grown(sides, 64, 96)
    unused_for(sides, old, 100)
    owner = described(sides, old)["database"]
    described(sides, old, database=change and {**owner, **change})
    assert pruned(sides, collection_days=30).old == ()
    assert set(collections(sides)) == {old, new}


def test_collections_of_other_names_and_without_a_description_stay(sides: TwoSides) -> None:
    old, new = grown(sides, 64, 96)
    description = described(sides, old, unused_since="2020-01-01T00:00:00+00:00")
    kept = {
        f"{sides.collection}_other__0123abcd": {METADATA_KEY: description},
        f"{sides.collection}__backup": {METADATA_KEY: description},
        f"{sides.collection}__0123abcd": {},
        f"{sides.collection}__4567abcd": {METADATA_KEY: {**description, "identity": None}},
    }

    async def create(client: Any) -> None:
        vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
        for name, metadata in kept.items():
            await client.create_collection(name, vectors_config=vectors, metadata=metadata)

    sides.with_client(create)
    assert pruned(sides, collection_days=30).old == (old,)
    assert set(collections(sides)) == {new, *kept}


def test_nothing_is_old_where_the_name_leads_nowhere(sides: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    old, new = grown(sides, 64, 96)
    for physical in (old, new):
        unused_for(sides, physical, 100)

    async def lose_alias(client: Any) -> None:
        delete = models.DeleteAlias(alias_name=sides.collection)
        await client.update_collection_aliases([models.DeleteAliasOperation(delete_alias=delete)])

    sides.with_client(lose_alias)
    assert pruned(sides, collection_days=30).old == ()
    assert set(collections(sides)) == {old, new}
    assert "leads to no proven collection of this database" in caplog.text


# --- collections that were never finished


def half_built(sides: TwoSides) -> tuple[str, str]:
    """Sync 20 rows, and stop a change of model in the middle; return the finished and the half-built collection."""
    [finished] = grown(sides, 64)
    sides.with_embedding(dimension=96).sync("full", limit=5)
    [dangling] = set(collections(sides)) - {finished}
    return finished, dangling


def last_run(sides: TwoSides, physical: str, days: float, kind: str = "full") -> None:
    """Let the last run on a collection be so many days ago."""
    sides.execute(
        "UPDATE pattern_sync_runs SET kind = %s, started_at = now() - make_interval(secs => %s), "
        "finished_at = now() - make_interval(secs => %s) WHERE collection = %s",
        [kind, days * 86_400, days * 86_400, physical],
    )


def test_a_collection_that_nobody_goes_on_building_goes_sooner(sides: TwoSides) -> None:
    finished, dangling = half_built(sides)
    last_run(sides, dangling, 1.9)
    assert pruned(sides, collection_days=30).dangling == ()
    # Seen unused, it still is being built: a run that is to come needs no more than its lock.
    last_run(sides, dangling, 2.1)
    assert pruned(sides, collection_days=0).dangling == ()
    dry = pruned(sides, collection_days=30, dry_run=True)
    assert (dry.dangling, dry.old) == ((dangling,), ())
    assert dry.summary() == f"1 dangling would be deleted: {dangling}"
    assert set(collections(sides)) == {finished, dangling}
    assert pruned(sides, collection_days=30).dangling == (dangling,)
    assert set(collections(sides)) == {finished}
    assert sides.with_embedding(dimension=96).sync("full").parity == "proven"


def test_the_runs_of_another_target_keep_no_dangling_collection(sides: TwoSides, tmp_path: Path) -> None:
    a, b = namesakes(sides, tmp_path)
    _, dangling = half_built(b)
    last_run(sides, dangling, 2.1)
    a.with_embedding(dimension=96).sync("full")
    assert dangling in collections(a)
    assert pruned(b, collection_days=30).dangling == (dangling,)


def test_without_a_history_a_dangling_collection_is_kept_as_an_old_one(sides: TwoSides) -> None:
    _, dangling = half_built(sides)
    sides.execute("DELETE FROM pattern_sync_runs")
    assert pruned(sides, collection_days=30) == RetentionResult(0, 0, 0, 0, old=(), dangling=())
    unused_for(sides, dangling, 31)
    assert pruned(sides, collection_days=30).old == (dangling,)


def test_between_two_shards_a_collection_is_being_built(sides: TwoSides) -> None:
    """Nobody holds its lock then, and it may have been old before."""
    old, _ = grown(sides, 64, 96)
    unused_for(sides, old, 100)
    last_run(sides, old, 1.9, kind="shard")
    assert pruned(sides, collection_days=30).old == ()
    last_run(sides, old, 2.1, kind="shard")
    assert pruned(sides, collection_days=30).old == (old,)


def test_nothing_is_old_while_the_collection_that_readers_see_is_not_proven(sides: TwoSides) -> None:
    """It may take its vectors from the old one."""
    old, new = grown(sides, 64, 96)
    unused_for(sides, old, 100)
    proven = described(sides, new, points=None)["points"]
    assert pruned(sides, collection_days=30).old == ()
    described(sides, new, points=proven)
    assert pruned(sides, collection_days=30).old == (old,)


def test_a_dry_run_changes_nothing(sides: TwoSides) -> None:
    old, new = grown(sides, 64, 96)
    other = sides.with_embedding(dimension=96)
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 2)")
    other.sync()
    sides.execute("UPDATE pattern_sync_runs SET finished_at = '2001-01-01'")
    runs = sides.execute("SELECT count(*) FROM pattern_sync_runs")
    everything = {"run_days": 90, "tombstone_days": 30, "collection_days": 30}
    assert pruned(sides, **everything, dry_run=True).old == ()
    assert described(sides, old)["unused_since"] is None
    unused_for(sides, old, 31)
    dry = pruned(sides, **everything, dry_run=True)
    # The newest one tells which collection is behind the name.
    assert (dry.runs, dry.tombstones, dry.old) == (runs[0][0] - 1, 2, (old,))
    assert set(collections(sides)) == {old, new}
    assert sides.execute("SELECT count(*) FROM pattern_sync_runs") == runs
    assert sides.execute("SELECT count(*) FROM pattern_sync_tombstones") == [(2,)]
    assert sides.execute("SELECT * FROM pattern_sync_pruned") == []
    # A run does what the dry run said.
    done = pruned(sides, **everything)
    assert (done.runs, done.tombstones, done.old) == (dry.runs, dry.tombstones, dry.old)


# --- tombstones, checkpoints, dead letters


def synced_twice(sides: TwoSides) -> str:
    """Sync 10 rows into two collections; return the name of the second."""
    second = f"{sides.collection}_2"
    sides.insert(rows(10))
    for name in (sides.collection, second):
        sides.sync("full", collection=name)
    return second


def test_a_tombstone_goes_when_every_collection_has_taken_it(sides: TwoSides) -> None:
    second = synced_twice(sides)
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 2)")
    sides.sync()
    assert pruned(sides, tombstone_days=30).tombstones == 0
    assert sides.execute("SELECT count(*) FROM pattern_sync_tombstones") == [(2,)]
    result = sides.sync(collection=second)
    assert (result.kind, result.counts["deleted"]) == ("incremental", 2)
    # Days play no part in this.
    assert pruned(sides, tombstone_days=0).tombstones == 2
    assert sides.execute("SELECT count(*) FROM pattern_sync_tombstones") == [(0,)]
    sides.assert_equal_sides()
    assert sides.points(second).keys() == sides.points().keys()


def test_what_a_late_collection_has_not_taken_goes_by_age_and_it_is_compared_as_a_whole(sides: TwoSides) -> None:
    second = synced_twice(sides)
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 2)")
    sides.sync()
    sides.execute("UPDATE pattern_sync_tombstones SET deleted_at = now() - interval '400 days'")
    assert pruned(sides, tombstone_days=0).tombstones == 0
    assert pruned(sides, tombstone_days=401).tombstones == 0
    assert pruned(sides, tombstone_days=399).tombstones == 2
    result = sides.sync(collection=second)
    assert (result.kind, result.counts["deleted"]) == ("full", 2)
    assert sides.points(second).keys() == sides.points().keys()


FUTURE = 900_000_000
"""The id of a transaction that is far in the future of a cluster for tests."""


def came_from_another_cluster(sides: TwoSides) -> None:
    """Let the checkpoints be as a dump of another cluster brings them along."""
    sides.execute(
        "UPDATE pattern_sync_checkpoints SET system_identifier = '1', watermark_xid = %s::text::xid8", [FUTURE]
    )


def test_what_was_pruned_in_another_cluster_says_nothing_after_a_restore(sides: TwoSides) -> None:
    sides.insert(rows(5))
    sides.sync("full")
    came_from_another_cluster(sides)
    sides.execute("INSERT INTO pattern_sync_pruned VALUES ('1', %s::text::xid8)", [FUTURE])
    assert [sides.sync().kind for _ in range(3)] == ["full", "incremental", "incremental"]
    streamed = asyncio.run(stream_between(sides, linger_seconds=0.5))
    assert not streamed.comparison_needed, streamed.ended


def test_tombstones_of_another_cluster_are_not_noted_when_they_go(sides: TwoSides) -> None:
    """They came with its dump and are a month old now. What is pruned of this cluster is still noted."""
    second = synced_twice(sides)
    came_from_another_cluster(sides)
    stale = "INSERT INTO pattern_sync_tombstones VALUES (gen_random_uuid(), %s::text::xid8, now() - interval '31 days')"
    sides.execute(stale, [FUTURE])
    for name in (sides.collection, second):
        assert [sides.sync(collection=name).kind for _ in range(2)] == ["full", "incremental"]
    assert pruned(sides, tombstone_days=30).tombstones == 1
    assert sides.execute("SELECT * FROM pattern_sync_pruned") == []

    sides.execute(stale, [FUTURE])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 2)")
    sides.sync()
    sides.execute("UPDATE pattern_sync_tombstones SET deleted_at = now() - interval '31 days'")
    assert pruned(sides, tombstone_days=30).tombstones == 3
    results = [sides.sync(collection=second) for _ in range(2)]
    assert [(result.kind, result.counts["deleted"]) for result in results] == [("full", 2), ("incremental", 0)]
    assert sides.sync().kind == "incremental"


def test_what_a_copy_of_this_cluster_pruned_says_nothing_and_hides_nothing(sides: TwoSides) -> None:
    """A copy has the same identifier. A dump of one that went on for longer brings ids from the future along, too."""
    second = synced_twice(sides)
    own = "INSERT INTO pattern_sync_pruned SELECT system_identifier::text, %s::text::xid8 FROM pg_control_system()"
    sides.execute(own, [FUTURE])
    assert sides.sync().kind == "incremental"

    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 2)")
    sides.sync()
    sides.execute("UPDATE pattern_sync_tombstones SET deleted_at = now() - interval '31 days'")
    assert pruned(sides, tombstone_days=30).tombstones == 2
    result = sides.sync(collection=second)
    assert (result.kind, result.counts["deleted"]) == ("full", 2)


def test_deletions_that_were_forgotten_during_a_first_run_are_not_lost(sides: TwoSides) -> None:
    """Its checkpoint does not exist while it runs, so nothing holds the tombstones for it."""
    second = synced_twice(sides)
    [(saved,)] = sides.execute(
        "DELETE FROM pattern_sync_checkpoints AS gone WHERE starts_with(collection, %s) RETURNING to_jsonb(gone)",
        [second],
    )
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 1)")
    sides.sync()
    assert pruned(sides).tombstones == 1
    sides.execute(
        "INSERT INTO pattern_sync_checkpoints SELECT (jsonb_populate_record(NULL::pattern_sync_checkpoints, %s)).*",
        [Jsonb(saved)],
    )
    result = sides.sync(collection=second)
    assert (result.kind, result.counts["deleted"]) == ("full", 1)


def test_tombstones_that_go_while_a_run_reads_them_are_noticed(
    sides: TwoSides, qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sides.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    sides.insert(rows(10))
    sides.sync("full")
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 2)")
    sides.execute("UPDATE pattern_sync_tombstones SET deleted_at = now() - interval '31 days'")
    sides.insert(rows(2, 50))
    count = PatternSource.count_changed

    async def prune_first(self: PatternSource, *arguments: Any) -> int:
        # The run is open; it has not read a deletion yet.
        await prune(sides.as_sync, sides.qdrant, RetentionSettings(collection=sides.collection, tombstone_days=30))
        return await count(self, *arguments)

    monkeypatch.setattr(PatternSource, "count_changed", prune_first)
    assert sides.sync().counts["deleted"] == 0
    assert "The next run compares everything" in caplog.text
    monkeypatch.undo()
    assert sides.sync().kind == "full"
    sides.assert_equal_sides()


def test_checkpoint_and_dead_letters_of_a_lost_collection_go_after_their_days(sides: TwoSides) -> None:
    sides.insert(rows(10))
    sides.sync("full")
    [(here,)] = sides.execute("SELECT collection FROM pattern_sync_checkpoints")
    [(identity,)] = sides.execute("SELECT target_identity FROM pattern_sync_checkpoints")
    # One that is here, by name and identity; one that has only the name; two that are gone.
    for collection, other, age in ((here, identity, 500), (here, "x", 31), ("gone", "y", 31), ("away", "z", 29)):
        sides.execute(
            "INSERT INTO pattern_sync_checkpoints (collection, target_identity, system_identifier, updated_at) "
            "VALUES (%(name)s, %(id)s, '1', now() - make_interval(days => %(age)s)) ON CONFLICT (collection, "
            "target_identity) DO UPDATE SET updated_at = excluded.updated_at",
            {"name": collection, "id": other, "age": age},
        )
        sides.execute(
            "INSERT INTO pattern_sync_dead_letters (collection, target_identity, node_id, stage, error, last_failed_at)"
            " VALUES (%s, %s, gen_random_uuid(), 'embed', 'no', now() - make_interval(days => %s))",
            [collection, other, age],
        )
    # That of the collection that is here is of a row that is there, too.
    sides.execute(
        "UPDATE pattern_sync_dead_letters SET node_id = (SELECT id FROM pattern_lineage_nodes LIMIT 1) "
        "WHERE target_identity = %s",
        [identity],
    )
    everything = {(here, identity), (here, "x"), ("gone", "y"), ("away", "z")}

    def known(table: str) -> set[Any]:
        return set(sides.execute(f"SELECT collection, target_identity FROM {table}"))

    assert pruned(sides, tombstone_days=0).checkpoints == 0
    assert known("pattern_sync_checkpoints") == known("pattern_sync_dead_letters") == everything
    assert pruned(sides, tombstone_days=30).checkpoints == 2
    left = {(here, identity), ("away", "z")}
    assert known("pattern_sync_checkpoints") == known("pattern_sync_dead_letters") == left
    # A later failure keeps an old checkpoint.
    sides.execute("UPDATE pattern_sync_checkpoints SET updated_at = now() - interval '99 days'")
    assert pruned(sides, tombstone_days=30).checkpoints == 0
    assert sides.sync().kind == "incremental"


def test_a_collection_whose_checkpoint_was_forgotten_is_compared_as_a_whole(sides: TwoSides) -> None:
    sides.insert(rows(10))
    sides.sync("full")
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 2)")
    sides.execute("UPDATE pattern_sync_checkpoints SET updated_at = now() - interval '31 days', target_identity = 'x'")
    assert pruned(sides, tombstone_days=30).checkpoints == 1
    result = sides.sync()
    assert (result.kind, result.counts["deleted"]) == ("full", 2)
    sides.assert_equal_sides()


def test_parked_rows_that_are_gone_are_forgotten(sides: TwoSides) -> None:
    sides.insert(rows(3))
    sides.sync("full")
    sides.execute(
        "INSERT INTO pattern_sync_dead_letters (collection, target_identity, node_id, stage, error, last_failed_at) "
        "SELECT collection, target_identity, letter.id, 'embed', 'no', now() - make_interval(days => letter.age) "
        "FROM pattern_sync_checkpoints, (SELECT id, 31 FROM pattern_lineage_nodes "
        "UNION ALL VALUES (gen_random_uuid(), 31), (gen_random_uuid(), 29)) AS letter (id, age)"
    )
    assert pruned(sides, tombstone_days=0).parked == 0
    assert pruned(sides, tombstone_days=30).parked == 1
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_type = 'config'")
    assert pruned(sides, tombstone_days=30).parked == 3
    assert sides.execute("SELECT count(*) FROM pattern_sync_dead_letters") == [(1,)]


# --- run histories


def test_runs_go_so_many_days_after_their_end(sides: TwoSides) -> None:
    sides.insert(rows(3))
    sides.sync("full")
    sides.execute(
        "INSERT INTO pattern_sync_runs (name, collection, kind, status, started_at, finished_at) VALUES "
        "('n', 'killed long ago', 'full', 'running', now() - interval '91 days', NULL), "
        "('n', 'old', 'full', 'succeeded', now() - interval '92 days', now() - interval '91 days'), "
        "('n', 'ended later', 'full', 'failed', now() - interval '91 days', now() - interval '89 days')"
    )
    sides.execute(
        "INSERT INTO pattern_quality_runs (version, collections, status, started_at, finished_at) VALUES "
        "('old', '{}', 'succeeded', now() - interval '91 days', now() - interval '91 days'), "
        "('new', '{}', 'succeeded', now() - interval '89 days', now() - interval '89 days')"
    )
    assert pruned(sides, run_days=0).runs == 0
    assert pruned(sides, run_days=90).runs == 3
    assert sides.execute(
        "SELECT count(*) FILTER (WHERE collection = 'ended later'), count(*) FROM pattern_sync_runs"
    ) == [(1, 2)]
    assert sides.execute("SELECT version FROM pattern_quality_runs") == [("new",)]


def test_the_run_that_tells_which_collection_is_behind_a_name_stays(sides: TwoSides) -> None:
    sides.insert(rows(3))
    sides.sync("full")
    sides.sync()
    sides.sync("verify")
    [(last,)] = sides.execute("SELECT id FROM pattern_sync_runs WHERE kind = 'incremental'")
    sides.execute("UPDATE pattern_sync_runs SET finished_at = now() - interval '91 days'")
    assert pruned(sides, run_days=90).runs == 2
    assert sides.execute("SELECT id FROM pattern_sync_runs") == [(last,)]
    sides.execute("DELETE FROM pattern_sync_checkpoints")
    assert pruned(sides, run_days=90).runs == 1


# --- failure


def test_a_qdrant_that_refuses_to_delete_costs_neither_the_tables_nor_the_proof(
    sides: TwoSides, qdrant_server: QdrantServer
) -> None:
    sides.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    old, new = grown(sides, 64, 96)
    unused_for(sides, old, 100)
    sides.execute(
        "INSERT INTO pattern_sync_runs (name, collection, kind, started_at) VALUES ('n', 'old', 'full', '2000-1-1')"
    )
    qdrant_server.always["drop"] = Fault(status=403)
    with pytest.raises(ConfigurationError, match="deleting the collection"):
        pruned(sides, run_days=90, collection_days=30)
    assert set(collections(sides)) == {old, new}
    assert sides.execute("SELECT count(*) FROM pattern_sync_runs WHERE collection = 'old'") == [(0,)]
    other = sides.with_embedding(dimension=96)
    other.assert_equal_sides()
    assert other.sync().kind == "incremental"
    qdrant_server.heal()
    assert pruned(sides, collection_days=30).old == (old,)


def test_a_table_that_refuses_costs_nothing_else(sides: TwoSides) -> None:
    sides.insert(rows(3))
    sides.sync("full")
    sides.sync()
    sides.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'kept by law'; END $$; "
        "CREATE TRIGGER kept BEFORE DELETE ON pattern_sync_runs FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    sides.execute("UPDATE pattern_sync_runs SET finished_at = '2000-01-01'")
    with pytest.raises((ConfigurationError, psycopg.Error), match="kept by law"):
        pruned(sides, run_days=90)
    assert sides.sync().kind == "incremental"
    sides.assert_equal_sides()
