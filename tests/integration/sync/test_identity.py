"""A name is not a thing: restored, copied and foreign databases and collections are noticed before a write."""

import logging
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from qdrant_client import AsyncQdrantClient, models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import QdrantConfig
from code_patterns.sync import pairing
from code_patterns.sync.collection import METADATA_KEY
from code_patterns.sync.diff import ALL_IDS
from code_patterns.sync.pairing import Pairing
from code_patterns.sync.proof import Proof
from code_patterns.sync.record import RunRecord
from code_patterns.sync.target import PatternTarget
from tests.support.kept_connections import forget
from tests.support.two_sides import TwoSides, rows

WHOLE_TIME = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
RUNS: dict[str, dict[str, Any]] = {
    "incremental": {"mode": "incremental"},
    "full": {"mode": "full"},
    "verify": {"mode": "verify"},
    "interval": {"interval": WHOLE_TIME},
    "shard": {"mode": "full", "id_range": ALL_IDS},
    "dry run": {"mode": "incremental", "dry_run": True},
    "full dry run": {"mode": "full", "dry_run": True},
}


@pytest.fixture
def settled(sides: TwoSides) -> TwoSides:
    """Sides that agree: 40 patterns."""
    sides.insert(rows(40))
    assert sides.sync("full").parity == "proven"
    return sides


@contextmanager
def administered(sides: TwoSides) -> Iterator[Callable[..., None]]:
    """Statements with names of databases, outside of the one that is tested."""
    with psycopg.connect(make_conninfo(sides.postgres.conninfo, dbname="postgres"), autocommit=True) as connection:
        yield lambda text, *names: connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))


@contextmanager
def copied(sides: TwoSides) -> Iterator[str]:
    """Name of a copy of the database as it is now, as a dump would be; dropped afterwards if it is there still."""
    name = f"{sides.postgres.database}_copy"
    forget(sides.postgres.database)
    with administered(sides) as run:
        run("CREATE DATABASE {} TEMPLATE {}", name, sides.postgres.database)
        try:
            yield name
        finally:
            run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def restore(sides: TwoSides, copy: str) -> None:
    """Put the copy in the database's place, in the same server."""
    forget(copy)
    with administered(sides) as run:
        run("DROP DATABASE {} WITH (FORCE)", sides.postgres.database)
        run("ALTER DATABASE {} RENAME TO {}", copy, sides.postgres.database)


def physical(sides: TwoSides) -> str:
    async def ask(client: AsyncQdrantClient) -> str:
        aliases = (await client.get_aliases()).aliases
        return {item.alias_name: item.collection_name for item in aliases}.get(sides.collection, sides.collection)

    return str(sides.with_client(ask))


def metadata(sides: TwoSides) -> dict[str, Any]:
    async def ask(client: AsyncQdrantClient) -> Any:
        return (await client.get_collection(physical_name)).config.metadata

    physical_name = physical(sides)
    return dict((sides.with_client(ask) or {}).get(METADATA_KEY) or {})


def describe(sides: TwoSides, **changes: Any) -> None:
    """Change what the collection says about itself."""
    described, name = {METADATA_KEY: {**metadata(sides), **changes}}, physical(sides)
    sides.with_client(lambda client: client.update_collection(name, metadata=described))


def checkpoints(sides: TwoSides) -> list[tuple[Any, ...]]:
    return sides.execute("SELECT * FROM pattern_sync_checkpoints ORDER BY collection, target_identity")


def everything(sides: TwoSides) -> tuple[Any, ...]:
    """All that a run could have changed."""
    history = sides.execute("SELECT count(*) FROM pattern_sync_runs")
    return sides.points(), metadata(sides), physical(sides), checkpoints(sides), history


def edit(sides: TwoSides, number: int) -> None:
    """A day's work: some rows are new, some changed, some gone."""
    ids = [row[0] for row in sides.execute("SELECT id FROM pattern_lineage_nodes ORDER BY id")]
    sides.insert(rows(3, start=100 + 10 * number))
    changed = f'{{"code": "day {number}"}}'
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = ANY(%s)", [changed, ids[:4]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [ids[4:7]])


def _kill(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_process(target: Callable[..., None], *arguments: Any) -> None:
    """Run it in a process of its own, which kills itself."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def ids_of(sides: TwoSides) -> set[UUID]:
    return {row[0] for row in sides.execute("SELECT id FROM pattern_lineage_nodes")}


# --- the database is put back


def test_a_restored_dump_is_compared_as_a_whole(settled: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    with copied(settled) as copy:
        edit(settled, 1)
        assert settled.sync().kind == "incremental"
        edit(settled, 2)
        assert settled.sync().kind == "incremental"
        restore(settled, copy)
        with pytest.raises(ConfigurationError, match="the database is older than its collection"):
            settled.sync("verify")
        assert settled.sync(dry_run=True).kind == "full"
        result = settled.sync()
        assert result.kind == "full"
        assert "the database is older than its collection in Qdrant" in caplog.text
        assert len(settled.points()) == 40
        settled.assert_equal_sides()
        assert settled.sync("verify").parity == "proven"
        assert settled.sync().kind == "incremental"


@pytest.mark.parametrize("kind", ["interval", "shard"])
def test_other_runs_say_it_and_leave_the_comparison_to_the_next_one(
    settled: TwoSides, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    with copied(settled) as copy:
        edit(settled, 1)
        settled.sync()
        restore(settled, copy)
        settled.sync(**RUNS[kind])
        assert "the database is older than its collection in Qdrant" in caplog.text
        assert len(settled.points()) == 43
        assert settled.sync().kind == "full"
        settled.assert_equal_sides()


def test_a_dump_restored_after_which_both_go_on_is_noticed(settled: TwoSides) -> None:
    with copied(settled) as copy:
        edit(settled, 1)
        settled.sync()
        restore(settled, copy)
        edit(settled, 2)
        assert settled.sync().kind == "full"
        settled.assert_equal_sides()


def keep_tables(sides: TwoSides) -> None:
    """Copy the tables as they are now, as a dump of the data would."""
    copies = [f"CREATE TABLE kept_{table} AS TABLE {table}; " for table in columns_of_tables(sides)]
    sides.execute(f"BEGIN; {''.join(copies)} COMMIT")


def refill(sides: TwoSides) -> None:
    """Fill the tables again from that copy."""
    columns = columns_of_tables(sides)
    filled = [
        f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM kept_{table}; "
        for table, names in columns.items()
    ]
    sides.execute(
        "BEGIN; SET session_replication_role = replica; "
        f"TRUNCATE {', '.join(columns)} CASCADE; {''.join(filled)} COMMIT"
    )


def columns_of_tables(sides: TwoSides) -> dict[str, str]:
    """The columns that can be written, by table of patterns."""
    return dict(
        sides.execute(
            "SELECT table_name, string_agg(quote_ident(column_name), ', ') FROM information_schema.columns "
            "JOIN information_schema.tables USING (table_schema, table_name) "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND is_generated = 'NEVER' "
            "AND starts_with(table_name, 'pattern_') AND table_name !~ 'schema_migrations' GROUP BY table_name"
        )
    )


def test_tables_filled_again_from_a_copy_are_compared_as_a_whole(settled: TwoSides) -> None:
    keep_tables(settled)
    edit(settled, 1)
    settled.sync()
    refill(settled)
    assert len(ids_of(settled)) == 40
    assert settled.sync().kind == "full"
    assert len(settled.points()) == 40
    settled.assert_equal_sides()


def _run_killed_after_a_dump(sides: TwoSides) -> None:
    """A full sync, a dump in the middle of it, changes that it still takes, and its death before its end."""
    save_batch = RunRecord.save_batch

    async def dumped(*arguments: Any) -> None:
        await save_batch(*arguments)
        if not sides.execute("SELECT to_regclass('kept_pattern_lineage_nodes')")[0][0]:
            keep_tables(sides)
            edit(sides, 2)

    RunRecord.save_batch = dumped  # type: ignore[method-assign]
    Proof.findings = _kill  # type: ignore[method-assign]
    sides.sync("full", batch_size=5, settled=False)


def test_a_dump_from_the_middle_of_a_killed_run_is_compared_as_a_whole(
    settled: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    edit(settled, 1)
    in_process(_run_killed_after_a_dump, settled)
    assert len(settled.points()) == 40
    refill(settled)
    assert settled.points().keys() != ids_of(settled)
    result = settled.sync()
    assert result.kind == "full"
    assert "a run did not come to its end, and the database was restored" in caplog.text
    settled.assert_equal_sides()
    assert settled.sync().kind == "incremental"


def test_a_killed_run_goes_on_at_its_watermark_if_nothing_was_restored(settled: TwoSides) -> None:
    edit(settled, 1)
    in_process(_run_killed_after_a_dump, settled)
    assert settled.sync().kind == "incremental"
    settled.assert_equal_sides()


def test_a_run_that_writes_nothing_changes_no_token(settled: TwoSides) -> None:
    before = metadata(settled)
    assert settled.sync().kind == "incremental"
    settled.sync("full")
    settled.sync("verify")
    assert metadata(settled) == before
    settled.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'another'")
    settled.sync()
    after = metadata(settled)
    assert after["progress"] != before["progress"]
    assert after["identity"] == before["identity"]


def test_the_first_sync_of_nothing_gives_both_sides_a_token(sides: TwoSides) -> None:
    sides.sync("full")
    assert sides.execute("SELECT progress, pending_progress FROM pattern_sync_checkpoints") == [
        (metadata(sides)["progress"], None)
    ]
    assert sides.sync().kind == "incremental"


# --- the collection is put back


@contextmanager
def older_snapshot(sides: TwoSides) -> Iterator[Callable[[], None]]:
    """Keep the collection as it is now; the result puts it back."""
    if sides.qdrant.path:
        kept = Path(f"{sides.qdrant.path}.kept")
        shutil.copytree(sides.qdrant.path, kept)

        def put_back() -> None:
            shutil.rmtree(sides.qdrant.path)
            shutil.copytree(kept, sides.qdrant.path)

        yield put_back
        return
    name = physical(sides)
    snapshot = sides.with_client(lambda client: client.create_snapshot(name)).name
    where = f"{sides.qdrant.url}/collections/{name}/snapshots/{snapshot}"
    yield lambda: sides.with_client(
        lambda client: client.recover_snapshot(name, where, priority=models.SnapshotPriority.SNAPSHOT, wait=True)
    )
    sides.with_client(lambda client: client.delete_snapshot(name, snapshot))


def test_an_older_snapshot_of_the_collection_is_compared_as_a_whole(
    settled: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    with older_snapshot(settled) as put_back:
        edit(settled, 1)
        assert settled.sync().kind == "incremental"
        put_back()
    assert settled.points().keys() != ids_of(settled)
    # A server keeps today's metadata over an older snapshot: then the verification names the points.
    with pytest.raises(ConfigurationError, match=r"Run pattern_sync_full first|are not as PostgreSQL wants them"):
        settled.sync("verify")
    assert settled.sync().kind == "full"
    assert "the Qdrant collection" in caplog.text
    settled.assert_equal_sides()
    assert settled.sync().kind == "incremental"


def put_points_back(sides: TwoSides, before: dict[Any, Any]) -> None:
    """Put older points in the place of those there are, under today's metadata."""
    points = [
        models.PointStruct(
            id=str(key), vector=payload["vector"], payload={k: v for k, v in payload.items() if k != "vector"}
        )
        for key, payload in before.items()
    ]
    name, there = physical(sides), [str(key) for key in sides.points()]
    if there:
        sides.with_client(lambda client: client.delete(name, models.PointIdsList(points=there), wait=True))
    sides.with_client(lambda client: client.upsert(name, points, wait=True))


def _run_killed_at_its_end(sides: TwoSides) -> None:
    """An hourly run that dies after its last batch is recorded."""
    Pairing.end = _kill  # type: ignore[method-assign]
    sides.sync(settled=False)


@pytest.mark.parametrize(
    "last", ["changed", "deleted", "a newer one deleted", "a newer one deleted, killed", "all deleted"]
)
def test_points_put_back_under_todays_metadata_are_noticed(
    settled: TwoSides, caplog: pytest.LogCaptureFixture, last: str
) -> None:
    """As a server does it: restoring a snapshot into a collection leaves its metadata alone."""
    before = settled.points()
    if last == "changed":
        settled.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'another' WHERE id = %s", [min(before)])
    elif last == "deleted":
        settled.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [min(before)])
    elif last == "all deleted":
        settled.execute("DELETE FROM pattern_lineage_nodes")
    else:
        edit(settled, 1)
        newer = rows(1, start=900)
        settled.insert(newer)
        settled.sync()
        # The older points lack the deleted one too.
        settled.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [newer[0]["id"]])
    if last.endswith("killed"):
        in_process(_run_killed_at_its_end, settled)
    else:
        settled.sync()
    put_points_back(settled, before)
    assert settled.sync(allow_mass_delete=True).kind == "full"
    assert "lacks what was written to it last" in caplog.text
    settled.assert_equal_sides()


def _run_killed_after_a_deletion(sides: TwoSides) -> None:
    delete = PatternTarget.delete

    async def deadly(*arguments: Any) -> None:
        await delete(*arguments)
        _kill()

    PatternTarget.delete = deadly  # type: ignore[method-assign]
    sides.sync(settled=False)


def test_a_run_killed_after_it_deleted_the_last_written_point_goes_on(settled: TwoSides) -> None:
    newer = rows(1, start=900)
    settled.insert(newer)
    settled.sync()
    settled.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [newer[0]["id"]])
    in_process(_run_killed_after_a_deletion, settled)
    assert len(settled.points()) == 40
    assert settled.sync().kind == "incremental"
    settled.assert_equal_sides()


def test_an_interval_run_does_not_hide_an_older_snapshot(settled: TwoSides) -> None:
    with older_snapshot(settled) as put_back:
        edit(settled, 1)
        settled.sync()
        put_back()
    settled.insert(rows(1, start=300))
    hour = (datetime.now(UTC) - timedelta(seconds=30), datetime.now(UTC) + timedelta(hours=1))
    settled.sync(interval=hour, limit=1)
    assert settled.sync().kind == "full"
    settled.assert_equal_sides()


def test_an_interval_run_that_writes_the_last_written_point_hides_nothing(settled: TwoSides) -> None:
    before = settled.points()
    settled.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [max(before)])
    settled.sync()
    put_points_back(settled, before)
    # It writes the point whose age shows the exchange, and leaves the deleted one.
    settled.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'another'")
    settled.sync(interval=(datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(hours=1)))
    assert settled.sync().kind == "full"
    settled.assert_equal_sides()


def test_a_limited_full_sync_leaves_the_comparison_owed(settled: TwoSides) -> None:
    with copied(settled) as copy:
        edit(settled, 1)
        settled.sync()
        restore(settled, copy)
        settled.sync("full", limit=3)
        assert settled.sync().kind == "full"
        settled.assert_equal_sides()


# --- two of a kind in turn


def test_each_of_two_qdrants_keeps_its_own_progress(settled: TwoSides, tmp_path: Path) -> None:
    other = replace(settled, qdrant=QdrantConfig(conn_id="patterns_qdrant", path=str(tmp_path / "other")))
    assert other.sync("full").parity == "proven"
    for day in range(1, 4):
        edit(settled, day)
        for sides in (settled, other):
            assert sides.sync().kind == "incremental"
            sides.assert_equal_sides()
    assert len(checkpoints(settled)) == 2


def test_each_of_two_qdrants_keeps_its_own_dead_letters(settled: TwoSides, tmp_path: Path) -> None:
    other = replace(settled, qdrant=QdrantConfig(conn_id="patterns_qdrant", path=str(tmp_path / "other")))
    [bad] = rows(1, start=200, pattern_data='"no object"')
    settled.insert([bad])
    assert settled.sync().dead_letters == 1
    assert other.sync().dead_letters == 1
    settled.execute('UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "x"}\' WHERE id = %s', [bad["id"]])
    assert settled.sync().dead_letters == 0
    assert other.sync(dry_run=True).dead_letters == 1
    assert other.sync().dead_letters == 0
    other.assert_equal_sides()


def staging_of(sides: TwoSides, name: str) -> TwoSides:
    return replace(sides, postgres=replace(sides.postgres, database=name))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("made", ["copied", "separately"])
def test_a_staging_database_is_refused_before_the_first_write(settled: TwoSides, made: str, run: str) -> None:
    with copied(settled) as copy:
        staging = staging_of(settled, copy)
        if made == "separately":
            staging.execute("UPDATE pattern_sync_database SET id = gen_random_uuid()")
            staging.execute("TRUNCATE pattern_sync_checkpoints")
        staging.insert(rows(60, start=100))
        before, ours = everything(staging), everything(settled)
        with pytest.raises(ConfigurationError, match="take_over") as caught:
            staging.sync(**RUNS[run])
        assert f"'{settled.postgres.database}'" in str(caught.value)
        assert f"'{copy}'" in str(caught.value)
        assert (everything(staging), everything(settled)) == (before, ours)
        with pytest.raises(ConfigurationError, match="take_over"):
            staging.partition(shards=2) if not staging.qdrant.path else staging.sync("full")


def test_a_changed_model_takes_no_alias_of_another_database(settled: TwoSides) -> None:
    with copied(settled) as copy:
        staging = staging_of(settled, copy).with_embedding(dimension=32)
        before = everything(settled)
        with pytest.raises(ConfigurationError, match="belongs to the database"):
            staging.sync("full")
        assert everything(settled) == before


@pytest.mark.remedy(Code.COLLECTION_FOREIGN)
def test_a_collection_is_taken_over_on_purpose(settled: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    with copied(settled) as copy:
        staging = staging_of(settled, copy)
        edit(staging, 1)
        assert metadata(staging)["database"]["name"] == settled.postgres.database
        with pytest.raises(ConfigurationError, match="belongs to the database"):
            staging.sync(take_over=True)
        result = staging.sync("full", take_over=True)
        assert (result.kind, result.parity) == ("full", "proven")
        assert f"'{settled.postgres.database}'" in caplog.text
        assert f"'{copy}'" in caplog.text
        staging.assert_equal_sides()
        assert staging.sync().kind == "incremental"
        with pytest.raises(ConfigurationError, match="belongs to the database"):
            settled.sync()
        assert settled.sync("full", take_over=True).parity == "proven"
        settled.assert_equal_sides()
        with pytest.raises(ConfigurationError, match="belongs to the database"):
            staging.sync()


def test_taking_over_does_not_allow_a_mass_delete(settled: TwoSides) -> None:
    with copied(settled) as copy:
        staging = staging_of(settled, copy)
        staging.execute("DELETE FROM pattern_lineage_nodes")
        with pytest.raises(ConfigurationError, match="Refusing to delete"):
            staging.sync("full", take_over=True)
        assert len(settled.points()) == 40


# --- another cluster


def test_another_cluster_at_the_same_address_is_the_same_database(settled: TwoSides) -> None:
    describe(settled, database={**metadata(settled)["database"], "system_identifier": "1"})
    settled.execute("UPDATE pattern_sync_checkpoints SET system_identifier = '1'")
    edit(settled, 1)
    assert settled.sync().kind == "full"
    settled.assert_equal_sides()
    assert metadata(settled)["database"]["system_identifier"] != "1"
    assert settled.sync().kind == "incremental"


def test_another_cluster_at_another_address_is_another_database(settled: TwoSides) -> None:
    owner = {**metadata(settled)["database"], "system_identifier": "1", "address": "production:5432"}
    describe(settled, database=owner)
    edit(settled, 1)
    before = everything(settled)
    with pytest.raises(ConfigurationError, match="production:5432"):
        settled.sync()
    assert everything(settled) == before


def test_the_same_cluster_by_another_address_is_the_same_database(settled: TwoSides) -> None:
    describe(settled, database={**metadata(settled)["database"], "address": "alias:5432"})
    edit(settled, 1)
    assert settled.sync().kind == "incremental"
    settled.assert_equal_sides()


# --- what the name leads to


def create(sides: TwoSides, name: str, *, vectors: Any = None, points: int = 3) -> None:
    chosen = vectors or models.VectorParams(size=sides.embedding.dimension, distance=models.Distance.COSINE)

    async def run(client: AsyncQdrantClient) -> None:
        await client.create_collection(name, vectors_config=chosen)
        if points:
            await client.upsert(
                name,
                [
                    models.PointStruct(
                        id=str(uuid4()), vector=[1.0] * sides.embedding.dimension, payload={"curated": True}
                    )
                    for _ in range(points)
                ],
            )

    sides.with_client(run)


def lead(sides: TwoSides, alias: str, name: str) -> None:
    create_alias = models.CreateAliasOperation(create_alias=models.CreateAlias(alias_name=alias, collection_name=name))
    sides.with_client(lambda client: client.update_collection_aliases(change_aliases_operations=[create_alias]))


def contents(sides: TwoSides) -> Any:
    """Everything of this test's own in Qdrant; other processes may use the same server."""
    own = (sides.collection, "execution_patterns")

    async def read(client: AsyncQdrantClient) -> Any:
        found = []
        for name in sorted(item.name for item in (await client.get_collections()).collections):
            if name.startswith(own):
                metadata = (await client.get_collection(name)).config.metadata
                found.append((name, metadata, (await client.scroll(name, limit=100, with_vectors=True))[0]))
        aliases = (await client.get_aliases()).aliases
        return found, sorted((alias for alias in aliases if alias.alias_name.startswith(own)), key=str)

    return sides.with_client(read)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("into", ["execution_patterns", "foreign"])
def test_an_alias_that_leads_elsewhere_is_refused(sides: TwoSides, into: str, run: str) -> None:
    name = into if into == "execution_patterns" else f"{sides.collection}_foreign"
    with suppress(Exception):
        sides.with_client(lambda client: client.delete_collection(name))
    create(sides, name)
    try:
        lead(sides, sides.collection, name)
        sides.insert(rows(20))
        before = contents(sides)
        with pytest.raises(ConfigurationError, match=name):
            sides.sync(**RUNS[run])
        assert contents(sides) == before
        assert sides.execute("SELECT * FROM pattern_sync_runs") == []
    finally:
        sides.with_client(lambda client: client.delete_collection(name))


def test_a_collection_that_another_name_protects_is_refused(sides: TwoSides) -> None:
    create(sides, sides.collection)
    lead(sides, "execution_patterns", sides.collection)
    before = contents(sides)
    with pytest.raises(ConfigurationError, match="never writes"):
        sides.sync("full")
    assert contents(sides) == before


def test_a_collection_of_the_typed_name_is_adopted_and_other_aliases_stay(sides: TwoSides) -> None:
    create(sides, sides.collection, points=0)
    lead(sides, f"{sides.collection}_readers", sides.collection)
    sides.insert(rows(20))
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()
    assert sides.points(f"{sides.collection}_readers").keys() == ids_of(sides)


VECTORS: dict[str, tuple[Any, str]] = {
    **{
        distance.value: (models.VectorParams(size=64, distance=distance), f"distance {distance.value}")
        for distance in (models.Distance.DOT, models.Distance.EUCLID, models.Distance.MANHATTAN)
    },
    **{
        datatype.value: (
            models.VectorParams(size=64, distance=models.Distance.COSINE, datatype=datatype),
            f"datatype {datatype.value}",
        )
        for datatype in (models.Datatype.UINT8, models.Datatype.FLOAT16)
    },
    "multivector": (
        models.VectorParams(
            size=64,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        ),
        "multivector",
    ),
    "named": ({"text": models.VectorParams(size=64, distance=models.Distance.COSINE)}, "only named vectors"),
}


@pytest.mark.parametrize("kind", VECTORS)
@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_collection_with_vectors_of_another_kind_is_refused(sides: TwoSides, kind: str, mode: str) -> None:
    vectors, words = VECTORS[kind]
    create(sides, sides.collection, vectors=vectors, points=0)
    sides.insert(rows(5))
    before = contents(sides)
    with pytest.raises(ConfigurationError, match=words):
        sides.sync(mode)
    assert contents(sides) == before
    assert sides.execute("SELECT * FROM pattern_sync_runs") == []


def test_named_sparse_vectors_beside_the_dense_one_are_fine(sides: TwoSides) -> None:
    dense = models.VectorParams(size=64, distance=models.Distance.COSINE, datatype=models.Datatype.FLOAT32)
    sides.with_client(
        lambda client: client.create_collection(
            sides.collection, vectors_config=dense, sparse_vectors_config={"spikes": models.SparseVectorParams()}
        )
    )
    sides.insert(rows(5))
    assert sides.sync("full").parity == "proven"
    assert sides.points().keys() == ids_of(sides)


# --- killed between the steps of the token


def _killed_sync(sides: TwoSides, step: str, number: int) -> None:
    """Run a sync that is killed after a step of its ``number``-th exchange of tokens."""
    owner, name = (pairing, "note_progress") if step == "note_progress" else (RunRecord, step)
    step_itself, count = getattr(owner, name), 0

    async def done(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        result = await step_itself(*arguments, **named)
        count += 1
        if count == number:
            _kill()
        return result

    setattr(owner, name, done)
    sides.sync()


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("step", ["announce", "note_progress", "arrive"])
def test_a_run_killed_between_the_steps_of_the_token_goes_on(settled: TwoSides, step: str, number: int) -> None:
    edit(settled, 1)
    in_process(_killed_sync, settled, step, number)
    assert settled.sync().kind == "incremental"
    settled.assert_equal_sides()
    [known] = settled.execute("SELECT progress, pending_progress FROM pattern_sync_checkpoints")
    assert metadata(settled)["progress"] in known
    edit(settled, 2)
    assert settled.sync().kind == "incremental"
    settled.assert_equal_sides()
    assert settled.execute("SELECT progress, pending_progress FROM pattern_sync_checkpoints") == [
        (metadata(settled)["progress"], None)
    ]


# --- collections that were replaced


def test_going_back_to_an_earlier_collection_keeps_database_and_token(settled: TwoSides) -> None:
    first, own = physical(settled), metadata(settled)
    other = settled.with_embedding(dimension=32)
    assert other.sync("full").parity == "proven"
    second = metadata(other)
    assert physical(other) != first
    assert second["database"] == own["database"]
    assert second["progress"] != own["progress"]
    edit(settled, 1)
    assert other.sync("full", rollback=True).parity == "proven"
    back = metadata(settled)
    assert (physical(settled), back["identity"], back["database"]) == (first, own["identity"], own["database"])
    settled.assert_equal_sides()
    assert settled.sync().kind == "incremental"


def test_the_log_says_what_is_compared_and_why(settled: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settled.execute("UPDATE pattern_sync_checkpoints SET progress = '1-other'")
    describe(settled, progress="1-another")
    assert settled.sync().kind == "full"
    assert "both sides went different ways" in caplog.text
