"""What the server still ends although every session starts without limits: said once, with the setting's name."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.migrations.runner import apply
from code_patterns.servers.postgres_errors import Kind, diagnose
from code_patterns.servers.postgres_inquiry import circumstances_of, inquire_blocking
from code_patterns.servers.postgres_psycopg import connect_blocking
from pattern_learning.arguments import Period
from pattern_learning.jobs import compute_period
from pattern_learning.values import moment
from tests.conftest import config_of
from tests.support.learning_database import Layer, LearningDatabase
from tests.support.two_sides import TwoSides, rows

LIMIT = "PERFORM set_config('statement_timeout', '150', false)"
IDLE = "PERFORM set_config('idle_session_timeout', '1', false)"
SLEEP = "PERFORM pg_sleep(20)"
CANCEL = f"PERFORM pg_cancel_backend(pg_backend_pid()); {SLEEP}"


def on_writing(dsn: str, table: str, action: str) -> None:
    """Let a trigger of the table do this, as a trigger of the users' could."""
    with connect_blocking(config_of(dsn), autocommit=True) as connection:
        name = sql.Identifier(f"test_{table}")
        connection.execute(
            sql.SQL(
                "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS {body}; CREATE TRIGGER {name} "
                "BEFORE INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            ).format(name=name, table=sql.Identifier(table), body=f"BEGIN {action}; RETURN NULL; END")
        )


def remove_triggers(dsn: str, *tables: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in tables:
            drop = sql.SQL("DROP TRIGGER {} ON {}")
            connection.execute(drop.format(sql.Identifier(f"test_{table}"), sql.Identifier(table)))


@pytest.mark.remedy(Code.STATEMENT_LIMITED)
def test_a_statement_timeout_ends_the_sync_and_is_not_retried(sides: TwoSides) -> None:
    sides.insert(rows(3))
    on_writing(sides.postgres.conninfo, "pattern_sync_runs", LIMIT)
    on_writing(sides.postgres.conninfo, "pattern_sync_checkpoints", "PERFORM pg_sleep(0.3)")
    with pytest.raises(ConfigurationError, match=r"by the setting statement_timeout \(150ms, from: session\)"):
        sides.sync("full")
    # Where the limit comes from; what takes long may stay.
    remove_triggers(sides.postgres.conninfo, "pattern_sync_runs")
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.STATEMENT_CANCELLED)
def test_a_cancelled_statement_is_an_outage(sides: TwoSides) -> None:
    sides.insert(rows(3))
    on_writing(sides.postgres.conninfo, "pattern_sync_checkpoints", CANCEL)
    with pytest.raises(OutageError, match=r"cancelled the run: .*pg_cancel_backend") as stopped:
        sides.sync("full")
    assert "by the setting" not in str(stopped.value)
    assert stopped.value.retryable
    remove_triggers(sides.postgres.conninfo, "pattern_sync_checkpoints")
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.STATEMENT_LIMITED)
def test_an_idle_session_that_is_ended_names_the_setting(sides: TwoSides) -> None:
    sides.insert(rows(3))
    on_writing(sides.postgres.conninfo, "pattern_sync_runs", IDLE)
    with pytest.raises(ConfigurationError, match="by the setting idle_session_timeout"):
        sides.sync("full")
    remove_triggers(sides.postgres.conninfo, "pattern_sync_runs")
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.parametrize("before", [True, False], ids=["with the answer before it", "alone"])
def test_the_last_words_of_a_server_are_heard(migrated_database: str, before: bool) -> None:
    """Whether libpq reads them as a notice or leaves them unread."""
    with connect_blocking(config_of(migrated_database), autocommit=True) as connection:
        with psycopg.connect(migrated_database, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.info.backend_pid])
        if before:
            connection.pgconn.consume_input()
            connection.pgconn.is_busy()
        with pytest.raises(psycopg.OperationalError) as ended:
            connection.execute("SELECT 1")
        inquire_blocking(connection, ended.value)
    fault = diagnose(ended.value)
    found = circumstances_of(ended.value)
    assert fault
    assert fault.kind is Kind.AWAY
    assert (ended.value.sqlstate or (found and found.state)) == "57P01"


@pytest.mark.parametrize(
    ("action", "says", "retryable"),
    [(SLEEP, "by the setting statement_timeout (150ms, from: session)", False), (CANCEL, "pg_cancel_backend", True)],
)
def test_the_storage_layer_says_it_too(learning: LearningDatabase, action: str, says: str, retryable: bool) -> None:
    on_writing(learning.dsn, "pattern_usage_events", LIMIT if action is SLEEP else "NULL")
    on_writing(learning.dsn, "pattern_relationships", action)

    async def work(layer: Layer) -> Any:
        one, two = await layer.store("one"), await layer.store("two")
        await layer.do("record_usage", pattern_id=one, usage_data={})
        ends = {"source_pattern_id": one, "target_pattern_id": two, "relationship_type": "similar"}
        return await layer.run("create_relationship", relationship_data=ends)

    result = learning.use(work, max_pool_size=1)
    assert says in result.error
    assert result.metadata["retryable"] is retryable


def test_the_daily_analytics_say_it_too(learning: LearningDatabase) -> None:
    on_writing(learning.dsn, "pattern_analytics", CANCEL)
    period = Period(moment("start", "2026-01-01"), moment("end", "2026-01-02"))
    with pytest.raises(OutageError, match="pg_cancel_backend"):
        asyncio.run(compute_period(config_of(learning.dsn), period))


def test_a_migration_says_it_too(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "001_first.sql").write_text("SET statement_timeout = '150ms';\n")
    (tmp_path / "001_rollback_first.sql").write_text("SELECT 1;\n")
    (tmp_path / "002_second.sql").write_text("SELECT pg_sleep(20);\n")
    (tmp_path / "002_rollback_second.sql").write_text("SELECT 1;\n")
    with pytest.raises(ConfigurationError, match=r"002_second\.sql failed: .*statement_timeout \(150ms, from: session"):
        apply(config_of(empty_database), "up", None, run_id="tests", folder=tmp_path)
