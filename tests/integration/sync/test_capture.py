"""A run trusts the triggers only where all of them are there, on this very table, and have been since the last run."""

import itertools
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.runner import apply, verify
from code_patterns.servers.qdrant import QdrantConfig
from tests.conftest import config_of
from tests.support.roles import grant
from tests.support.two_sides import TwoSides, rows

TABLE = "pattern_lineage_nodes"


@pytest.fixture
def synced(sides: TwoSides) -> TwoSides:
    """Thirty patterns on both sides, after a full and an hourly run."""
    sides.insert(rows(30))
    sides.sync("full")
    assert (sides.sync().kind, sides.sync().counts["examined"]) == ("incremental", 0)
    return sides


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """The warnings of the runs since the last call."""

    def said() -> str:
        text = "\n".join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
        caplog.clear()
        return text

    with caplog.at_level(logging.INFO, "code_patterns"):
        yield said


STARTS = itertools.count(100, 2)


def change(sides: TwoSides) -> None:
    """Change a row, delete another one and insert two."""
    first = f"(SELECT min(id::text)::uuid FROM {TABLE})"
    sides.execute(f"UPDATE {TABLE} SET pattern_name = 'at ' || clock_timestamp() WHERE id = {first}")
    sides.execute(f"DELETE FROM {TABLE} WHERE id = (SELECT max(id::text)::uuid FROM {TABLE})")
    sides.insert(rows(2, start=next(STARTS)))


def mend(sides: TwoSides) -> tuple[int, ...]:
    """Do what the warning says; return which migrations ran."""
    done = apply(sides.postgres, "up", None, "mended").versions
    if sides.as_sync != sides.postgres:
        grant(sides.postgres.conninfo)
    verify(sides.postgres)
    return done


def assert_hourly(sides: TwoSides) -> None:
    change(sides)
    result = sides.sync()
    assert (result.kind, result.counts["examined"]) == ("incremental", 4)
    sides.assert_equal_sides()


def assert_hourly_again(sides: TwoSides) -> None:
    """The next run compares everything once more, because of what happened meanwhile, and then all is as ever."""
    assert sides.sync().kind == "full"
    assert_hourly(sides)


# --- triggers


@pytest.mark.parametrize(
    ("damage", "flaw"),
    [
        ("DROP TRIGGER zz_pattern_sync_stamp_updated ON {}", "trigger zz_pattern_sync_stamp_updated is missing"),
        ("ALTER TABLE {} DISABLE TRIGGER zz_pattern_sync_record_deleted", "record_deleted is disabled"),
        ("ALTER TABLE {} DISABLE TRIGGER USER", "trigger zz_pattern_sync_stamp_inserted is disabled"),
        ("ALTER TABLE {} ENABLE TRIGGER zz_pattern_sync_record_moved", "record_moved is not enabled always"),
        ("ALTER TABLE {} ENABLE REPLICA TRIGGER zz_pattern_sync_record_moved", "is enabled for replication only"),
        (
            "CREATE OR REPLACE TRIGGER zz_pattern_sync_record_deleted AFTER DELETE ON {} FOR EACH ROW WHEN (false) "
            "EXECUTE FUNCTION pattern_sync_record_removed(); "
            "ALTER TABLE {} ENABLE ALWAYS TRIGGER zz_pattern_sync_record_deleted",
            "record_deleted is not the one of migration 015",
        ),
        (
            "CREATE OR REPLACE FUNCTION pattern_sync_record_removed() RETURNS trigger LANGUAGE plpgsql "
            "AS 'BEGIN RETURN NULL; END'",
            "function pattern_sync_record_removed is not the one of migration 015",
        ),
    ],
)
def test_damaged_triggers_make_the_hourly_run_compare_everything(
    synced: TwoSides, warnings: Any, damage: str, flaw: str
) -> None:
    synced.execute(damage.replace("{}", TABLE))
    for _ in range(2):
        change(synced)
        assert synced.sync().kind == "full"
        said = warnings()
        assert flaw in said
        assert "Run schema_migration" in said
        synced.assert_equal_sides()
    change(synced)
    assert mend(synced) == (15,)
    assert_hourly_again(synced)
    assert warnings() == ""


LATE = "CREATE TRIGGER {} BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION rename()"
RENAME = (
    "CREATE FUNCTION rename() RETURNS trigger LANGUAGE plpgsql AS "
    "$$BEGIN NEW.pattern_name := 'used ' || NEW.usage_count; RETURN NEW; END$$"
)


@pytest.mark.parametrize("name", ["zzz_theirs", '"zz_pattern_Sync"'])
def test_a_trigger_that_changes_rows_too_late_is_named(synced: TwoSides, warnings: Any, name: str) -> None:
    synced.execute(f"ALTER TABLE {TABLE} ADD COLUMN usage_count int DEFAULT 0")
    synced.execute(RENAME)
    synced.execute(LATE.format(name, TABLE))
    for _ in range(2):
        synced.execute(f"UPDATE {TABLE} SET usage_count = usage_count + 1")
        late = name == "zzz_theirs"
        result = synced.sync()
        assert result.kind == ("full" if late else "incremental")
        said = warnings()
        assert (f"trigger {name} ON {TABLE} may change a row after the triggers that record changes" in said) is late
        synced.assert_equal_sides()
    if late:
        synced.execute(said[said.index("ALTER TRIGGER") :].splitlines()[0])
        assert synced.sync().kind == "full"
    synced.execute(f"UPDATE {TABLE} SET usage_count = usage_count + 1")
    assert synced.sync().kind == "incremental"
    synced.assert_equal_sides()
    assert warnings() == ""


@pytest.mark.parametrize(
    "trigger",
    [
        "zzz_min BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "zzz_new BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION nothing()",
        "zzz_log AFTER UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION nothing()",
        "zzz_each BEFORE UPDATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION nothing()",
    ],
)
def test_a_late_trigger_that_changes_nothing_unseen_is_no_problem(
    synced: TwoSides, warnings: Any, trigger: str
) -> None:
    synced.execute("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    synced.execute(f"CREATE TRIGGER {trigger.format(TABLE)}")
    assert_hourly(synced)
    assert warnings() == ""


def test_truncating_a_table_that_hides_its_rows_from_its_owner_is_noticed(synced: TwoSides) -> None:
    # Runs see all rows: they are the superuser.
    synced.administrator = "nobody"
    owner = f"{synced.postgres.database}_app"
    synced.execute(f"CREATE ROLE {owner}")
    try:
        for security in ("FORCE", "NO FORCE"):
            synced.execute(f"ALTER TABLE {TABLE} OWNER TO {owner if security == 'NO FORCE' else 'patterns_migrator'}")
            synced.execute(f"GRANT SELECT ON {TABLE} TO patterns_migrator")
            synced.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY, {security} ROW LEVEL SECURITY")
            synced.sync()
            assert synced.sync().kind == "incremental"
            synced.execute("DELETE FROM pattern_sync_tombstones")
            synced.execute(f"SET row_security = on; TRUNCATE {TABLE}")
            assert synced.execute("SELECT count(*) FROM pattern_sync_tombstones") == [(0,)]
            assert synced.sync(allow_mass_delete=True).kind == "full"
            assert synced.points() == {}
            synced.insert(rows(5))
            assert synced.sync().kind == "incremental"
            synced.assert_equal_sides()
    finally:
        synced.execute(f"ALTER TABLE {TABLE} OWNER TO CURRENT_USER")
        synced.execute(f"DROP ROLE {owner}")


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_rows_that_a_transaction_truncates_without_seeing_them_are_noticed(synced: TwoSides, isolation: str) -> None:
    """It has one snapshot, and waited for the lock while others wrote."""
    synced.insert(rows(30, 50))
    with psycopg.connect(synced.postgres.conninfo) as loading:
        loading.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        loading.execute("SELECT FROM pg_class LIMIT 1")
        synced.insert(rows(5, 90))
        synced.sync(settled=False)
        loading.execute(f"TRUNCATE {TABLE}")
        loading.commit()
    synced.insert(rows(40, 100))
    assert synced.sync().kind == "full"
    synced.assert_equal_sides()
    assert synced.sync().kind == "incremental"


def test_triggers_that_were_away_for_a_moment_are_noticed(synced: TwoSides, warnings: Any) -> None:
    """At each start all of them are there."""
    synced.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER USER")
    change(synced)
    mend(synced)
    assert synced.sync().kind == "full"
    assert warnings() == ""
    synced.assert_equal_sides()
    assert synced.sync().kind == "incremental"


def test_what_replication_applies_is_seen(synced: TwoSides) -> None:
    with psycopg.connect(synced.postgres.conninfo, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"UPDATE {TABLE} SET pattern_name = 'renamed' WHERE id IN (SELECT id FROM {TABLE} LIMIT 3)")
        connection.execute(f"DELETE FROM {TABLE} WHERE id IN (SELECT id FROM {TABLE} LIMIT 4)")
    result = synced.sync()
    assert (result.kind, result.counts["deleted"]) == ("incremental", 4)
    synced.assert_equal_sides()
    with psycopg.connect(synced.postgres.conninfo, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"TRUNCATE {TABLE}")
    assert synced.sync(allow_mass_delete=True).kind == "incremental"
    assert synced.points() == {}


def test_maintenance_is_no_change(synced: TwoSides) -> None:
    synced.execute(f"VACUUM FULL {TABLE}")
    synced.execute(f"ANALYZE {TABLE}")
    synced.execute(f"REINDEX TABLE {TABLE}")
    synced.execute(f"ALTER TABLE {TABLE} ADD COLUMN usage_count int DEFAULT 0")
    assert mend(synced) == ()
    assert synced.sync().kind == "incremental"


# --- another table


@pytest.mark.parametrize("like", ["LIKE old", "LIKE old INCLUDING ALL"])
def test_a_table_swapped_in_is_noticed(synced: TwoSides, warnings: Any, like: str) -> None:
    synced.execute(f"ALTER TABLE {TABLE} RENAME TO old")
    synced.execute(f"CREATE TABLE {TABLE} ({like})")
    synced.execute(f"INSERT INTO {TABLE} SELECT * FROM old")
    grant(synced.postgres.conninfo)
    change(synced)
    assert synced.sync().kind == "full"
    assert "trigger zz_pattern_sync_record_deleted is missing" in warnings()
    synced.assert_equal_sides()
    assert 15 in mend(synced)
    assert_hourly_again(synced)


def test_a_table_swapped_in_with_its_own_triggers_is_noticed(synced: TwoSides) -> None:
    synced.execute(f"ALTER TABLE {TABLE} RENAME TO old")
    synced.execute(f"CREATE TABLE {TABLE} (LIKE old INCLUDING ALL)")
    synced.execute("DELETE FROM old WHERE id = (SELECT max(id::text)::uuid FROM old)")
    mend(synced)
    synced.execute(f"INSERT INTO {TABLE} SELECT * FROM old")
    assert synced.sync().kind == "full"
    synced.assert_equal_sides()
    assert_hourly(synced)


def test_children_by_inheritance_make_the_hourly_run_compare_everything(synced: TwoSides, warnings: Any) -> None:
    synced.execute(f"CREATE TABLE archive (PRIMARY KEY (id)) INHERITS ({TABLE})")
    columns = "id, pattern_id, pattern_name, pattern_type, pattern_data, metadata, file_path, language"
    synced.execute(
        f"WITH moved AS (DELETE FROM ONLY {TABLE} WHERE id IN (SELECT id FROM {TABLE} LIMIT 5) RETURNING {columns}) "
        f"INSERT INTO archive ({columns}) SELECT * FROM moved"
    )
    assert synced.sync().kind == "full"
    assert "table archive inherits from it" in warnings()
    synced.assert_equal_sides()
    synced.execute("DELETE FROM archive WHERE id = (SELECT max(id::text)::uuid FROM archive)")
    assert synced.sync().kind == "full"
    synced.assert_equal_sides()
    synced.execute("DROP TABLE archive")
    result = synced.sync()
    assert (result.kind, result.counts["deleted"]) == ("full", 4)
    synced.assert_equal_sides()
    assert_hourly(synced)


def test_an_unlogged_table_is_named(synced: TwoSides, warnings: Any) -> None:
    synced.execute(
        "ALTER TABLE pattern_quality_metrics DROP CONSTRAINT IF EXISTS pattern_quality_metrics_pattern_id_fkey"
    )
    synced.execute(f"ALTER TABLE {TABLE} SET UNLOGGED")
    assert synced.sync().kind == "full"
    assert "unlogged" in warnings()
    synced.execute(f"ALTER TABLE {TABLE} SET LOGGED")
    assert synced.sync().kind == "full"
    assert synced.sync().kind == "incremental"


# --- partitions


@pytest.fixture
def empty_sides(empty_database: str, qdrant: QdrantConfig) -> TwoSides:
    """A database that saw no migration."""
    return TwoSides(config_of(empty_database), qdrant, f"test_{uuid.uuid4().hex[:12]}")


@pytest.fixture(params=["hash", "list"])
def partitioned(request: pytest.FixtureRequest, empty_sides: TwoSides) -> TwoSides:
    """A partitioned table with rows that was there before the first migration, then migrated and synced."""
    by, key, bounds = {
        "hash": (
            "HASH (id)",
            "id",
            ("FOR VALUES WITH (MODULUS 2, REMAINDER 0)", "FOR VALUES WITH (MODULUS 2, REMAINDER 1)"),
        ),
        "list": ("LIST (language)", "id, language", ("FOR VALUES IN ('python')", "DEFAULT")),
    }[request.param]
    empty_sides.execute(
        f"CREATE TABLE {TABLE} (id uuid DEFAULT gen_random_uuid(), pattern_id varchar(255), pattern_name varchar(255), "
        "pattern_type varchar(100), pattern_data jsonb NOT NULL, metadata jsonb, file_path text, "
        f"language varchar(50), PRIMARY KEY ({key})) PARTITION BY {by}"
    )
    for number, bound in enumerate(bounds):
        empty_sides.execute(f"CREATE TABLE nodes_{number} PARTITION OF {TABLE} {bound}")
    empty_sides.insert(rows(30))
    empty_sides.insert(rows(5, start=40, language="go"))
    apply(empty_sides.postgres, "up", None, "tests")
    verify(empty_sides.postgres)
    assert apply(empty_sides.postgres, "up", None, "again").versions == ()
    empty_sides.sync("full")
    empty_sides.assert_equal_sides()
    return empty_sides


def test_partitions_are_synced_hour_by_hour(partitioned: TwoSides, warnings: Any) -> None:
    assert_hourly(partitioned)
    # By a partition's own name.
    partitioned.execute("UPDATE nodes_0 SET pattern_name = 'renamed' WHERE id IN (SELECT id FROM nodes_0 LIMIT 3)")
    partitioned.execute("DELETE FROM nodes_0 WHERE id IN (SELECT id FROM nodes_0 LIMIT 4)")
    result = partitioned.sync()
    assert (result.kind, result.counts["deleted"]) == ("incremental", 4)
    partitioned.assert_equal_sides()
    # Into another partition.
    partitioned.execute(f"UPDATE {TABLE} SET language = 'go', id = gen_random_uuid() WHERE language = 'python'")
    assert partitioned.sync(allow_mass_delete=True).kind == "incremental"
    partitioned.assert_equal_sides()
    assert warnings() == ""
    valid = partitioned.execute(
        "SELECT bool_and(indisvalid) FROM pg_index WHERE indexrelid::regclass::text ~ 'sync_xid'"
    )
    assert valid == [(True,)]


@pytest.mark.parametrize(
    "loss",
    [
        "TRUNCATE nodes_0",
        f"ALTER TABLE {TABLE} DETACH PARTITION nodes_0",
        "DROP TABLE nodes_0",
    ],
)
def test_a_partition_that_goes_is_noticed(partitioned: TwoSides, loss: str) -> None:
    partitioned.execute(loss)
    assert partitioned.sync(allow_mass_delete=True).kind == "full"
    partitioned.assert_equal_sides()
    assert partitioned.sync().kind == "incremental"


def test_a_partition_that_comes_is_noticed(partitioned: TwoSides) -> None:
    bound = partitioned.execute("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'nodes_1'")[0][0]
    partitioned.execute(f"ALTER TABLE {TABLE} DETACH PARTITION nodes_1")
    assert partitioned.sync(allow_mass_delete=True).kind == "full"
    partitioned.execute(f"ALTER TABLE {TABLE} ATTACH PARTITION nodes_1 {bound}")
    assert partitioned.sync().kind == "full"
    partitioned.assert_equal_sides()
    mend(partitioned)
    assert partitioned.sync().kind == "incremental"


def test_triggers_disabled_in_one_partition_are_noticed(partitioned: TwoSides, warnings: Any) -> None:
    partitioned.execute("ALTER TABLE nodes_0 DISABLE TRIGGER USER")
    partitioned.execute("DELETE FROM nodes_0 WHERE id = (SELECT max(id::text)::uuid FROM nodes_0)")
    assert partitioned.sync().kind == "full"
    assert "triggers of partition nodes_0 are missing or disabled" in warnings()
    partitioned.assert_equal_sides()


def test_migrations_of_a_partitioned_table_go_down_and_up(partitioned: TwoSides) -> None:
    apply(partitioned.postgres, "down", 0, "tests")
    assert partitioned.execute(f"SELECT count(*) FROM {TABLE}") == [(35,)]
    assert partitioned.execute("SELECT FROM pg_class WHERE relname ~ 'sync_xid'") == []
    apply(partitioned.postgres, "up", None, "tests")
    verify(partitioned.postgres)


# --- no table


@pytest.mark.parametrize("kind", ["view", "materialized view", "foreign table"])
@pytest.mark.parametrize("mode", ["incremental", "full", "verify"])
def test_what_is_no_table_is_refused(synced: TwoSides, kind: str, mode: str) -> None:
    synced.execute(f"ALTER TABLE {TABLE} RENAME TO old")
    if kind == "foreign table":
        # Without a handler nothing can be read from it, and nothing is: the run looks at the catalog first.
        synced.execute("CREATE FOREIGN DATA WRAPPER far")
        synced.execute("CREATE SERVER far FOREIGN DATA WRAPPER far")
        synced.execute(f"CREATE FOREIGN TABLE {TABLE} (id uuid) SERVER far")
    else:
        synced.execute(f"CREATE {kind} {TABLE} AS SELECT * FROM old")
    before = synced.points()
    with pytest.raises(ConfigurationError, match=f"pattern_lineage_nodes is a {kind}.*point the connection at"):
        synced.sync(mode)
    assert synced.points() == before
