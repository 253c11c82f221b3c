"""What is reported of tables and indexes is what PostgreSQL really has, and nothing is changed."""

import contextlib

import psycopg
import pytest

from code_patterns.migrations.table_health import TableHealth, look_at_tables
from tests.conftest import config_of

RUNS = """
INSERT INTO pattern_sync_runs (name, collection, kind)
SELECT repeat('n', 200), 'c' || number, 'full' FROM generate_series(1, 120000) AS number
"""


def look(dsn: str, migration: str = "schema_migration") -> TableHealth:
    return look_at_tables(config_of(dsn), migration)


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_new_database_is_in_order(migrated_database: str) -> None:
    health = look(migrated_database)
    assert health.findings == ()
    assert health.tables >= 14
    assert health.indexes >= health.tables
    assert health.summary().endswith("all in order")


def test_unused_room_is_reported_until_it_is_given_back(migrated_database: str) -> None:
    execute(migrated_database, "ALTER TABLE pattern_sync_runs SET (autovacuum_enabled = off)", RUNS)
    execute(migrated_database, "VACUUM ANALYZE pattern_sync_runs")
    # As full as a table can be: neither rows nor index entries are mistaken for waste.
    full = look(migrated_database)
    assert full.findings == ()
    assert full.unused < full.bytes / 4

    # The statistics system takes what this session has done when it ends.
    execute(migrated_database, "DELETE FROM pattern_sync_runs WHERE collection > 'c3'")
    [dead] = look(migrated_database).findings
    assert (dead.name, dead.remedy.split(";")[0]) == ("pattern_sync_runs", "VACUUM (ANALYZE) pattern_sync_runs")
    assert "dead rows beside" in dead.problem

    execute(migrated_database, "VACUUM ANALYZE pattern_sync_runs")
    [bloated] = [found for found in look(migrated_database).findings if found.name == "pattern_sync_runs"]
    assert "MiB are unused" in bloated.problem
    assert "VACUUM (FULL, ANALYZE) pattern_sync_runs;" in bloated.remedy
    execute(migrated_database, "VACUUM (FULL, ANALYZE) pattern_sync_runs")
    assert look(migrated_database).findings == ()


def test_a_bloated_index_is_reported_until_it_is_built_again(migrated_database: str) -> None:
    # Random keys fill an index badly; a low fillfactor shows the same at once.
    execute(
        migrated_database,
        RUNS,
        "CREATE INDEX mine_idx ON pattern_sync_runs (id, collection) WITH (fillfactor = 10)",
        "VACUUM ANALYZE pattern_sync_runs",
    )
    [bloated] = look(migrated_database).findings
    assert (bloated.name, bloated.remedy) == ("mine_idx", "REINDEX INDEX CONCURRENTLY mine_idx;")
    execute(migrated_database, "ALTER INDEX mine_idx RESET (fillfactor)", bloated.remedy)
    execute(migrated_database, "ANALYZE pattern_sync_runs")
    assert look(migrated_database).findings == ()


@pytest.mark.parametrize(
    ("break_it", "name", "remedy"),
    [
        ("CREATE UNIQUE INDEX CONCURRENTLY mine_idx ON pattern_sync_runs (name)", "mine_idx", "REINDEX INDEX"),
        ("DROP INDEX pattern_lineage_nodes_sync_xid_idx", "pattern_lineage_nodes_sync_xid_idx", "Run schema_migration"),
    ],
)
def test_indexes_that_are_missing_or_not_valid_are_named(
    migrated_database: str, break_it: str, name: str, remedy: str
) -> None:
    execute(migrated_database, RUNS.replace("120000", "2"))
    with contextlib.suppress(psycopg.errors.UniqueViolation):
        execute(migrated_database, break_it)
    [finding] = look(migrated_database).findings
    assert finding.name == name
    assert finding.remedy.startswith(remedy)


def test_a_further_database_has_a_migration_of_its_own(migrated_database: str) -> None:
    execute(migrated_database, "DROP INDEX pattern_lineage_nodes_sync_xid_idx")
    [finding] = look(migrated_database, "schema_migration__b").findings
    assert finding.remedy == "Run schema_migration__b with dry_run off: it makes the index again."


def test_an_index_of_ours_that_is_not_valid_is_made_again_by_the_migration(migrated_database: str) -> None:
    execute(
        migrated_database,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pattern_sync_runs_started_at_idx'::regclass",
    )
    [finding] = look(migrated_database).findings
    assert (finding.name, finding.problem) == (
        "pattern_sync_runs_started_at_idx",
        "the index of migration 015 is not valid",
    )
