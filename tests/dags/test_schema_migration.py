"""The migration DAG as real DAG runs."""

from collections.abc import Callable

import psycopg
import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.conftest import ROOT, config_of
from tests.dags.conftest import Outcome
from tests.support.connections import set_postgres

VERSIONS = sorted({int(path.name[:3]) for path in (ROOT / "include" / "migrations").glob("[0-9]*.sql")})


@pytest.fixture
def database(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database that the connection names."""
    config = config_of(empty_database)
    set_postgres(monkeypatch, config)
    return empty_database


def tables(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row is not None
    return int(row[0])


def test_untouched_params_show_the_plan_and_change_nothing(database: str, run_dag: Callable[..., Outcome]) -> None:
    planned = run_dag("schema_migration", "plan")
    assert planned.state == "success"
    assert planned.xcom == {"version": 0, "versions": VERSIONS}
    assert f"is at version 000.\n{len(VERSIONS)} to apply:\n  001_pattern_learning_init\n" in planned.log
    assert "CREATE INDEX CONCURRENTLY" in planned.log
    assert run_dag("schema_migration", "apply").xcom is None  # skipped
    assert tables(database) == 0


def test_up_again_and_down(database: str, run_dag: Callable[..., Outcome]) -> None:
    first = run_dag("schema_migration", "apply", dry_run=False)
    assert first.state == "success"
    assert (first.xcom["versions"], first.xcom["version"]) == (VERSIONS, VERSIONS[-1])
    assert "NOTICE: 0 duplicate quality scores removed" in first.log

    again = run_dag("schema_migration", "verify", dry_run=False)
    assert f"is at version {VERSIONS[-1]:03}: nothing to do." in again.log
    assert again.xcom["version"] == VERSIONS[-1]
    assert again.xcom["facts"] > 300

    down = run_dag("schema_migration", "apply", dry_run=False, direction="down", target=0)
    assert (down.xcom["versions"], down.xcom["version"]) == (VERSIONS[::-1], 0)
    assert tables(database) == 1


def test_the_dry_run_shows_what_is_decided_and_what_forbids_it(database: str, run_dag: Callable[..., Outcome]) -> None:
    tables = (ROOT / "tests" / "support" / "databases" / "lineage_neighbour.sql").read_bytes()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(tables)
        connection.execute("CREATE TABLE pattern_templates (id text PRIMARY KEY)")
    planned = run_dag("schema_migration", "plan")
    assert planned.state == "success"
    assert "Note: pattern_relationships is not the table of this project" in planned.log
    assert "Refused: Column pattern_templates.id has type text where uuid is needed." in planned.log
    refused = run_dag("schema_migration", "apply", dry_run=False)
    assert refused.state == "failed"
    assert "cannot be migrated as it is, and nothing was changed: Column pattern_templates.id" in refused.message
    assert tables_with(database, "pattern_schema_migrations") == 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE pattern_templates")
    assert run_dag("schema_migration", "verify", dry_run=False).state == "success"


def tables_with(dsn: str, name: str) -> int:
    with psycopg.connect(dsn) as connection:
        return len(connection.execute("SELECT FROM pg_tables WHERE tablename = %s", [name]).fetchall())


def test_a_way_down_without_a_target_is_one_clear_message(database: str, run_dag: Callable[..., Outcome]) -> None:
    failed = run_dag("schema_migration", "plan", dry_run=False, direction="down")
    assert failed.state == "failed"
    assert "Rolling back needs an explicit target" in failed.message
    assert tables(database) == 0


def test_an_unknown_target_starts_no_run(database: str, run_dag: Callable[..., Outcome]) -> None:
    with pytest.raises(ParamValidationError, match="12 is not one of"):
        run_dag("schema_migration", "plan", target=12)
