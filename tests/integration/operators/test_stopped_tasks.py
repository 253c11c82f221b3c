"""SIGTERM in the middle of a task: it stops, nothing is half done, and the next run goes on."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowException
from psycopg.conninfo import conninfo_to_dict

from code_patterns.codes import Code
from code_patterns.migrations.files import read_migrations
from code_patterns.operators.migration import PatternMigrationOperator
from code_patterns.operators.qdrant_upsert import QdrantUpsertOperator
from code_patterns.operators.quality_score import QualityScoreOperator
from code_patterns.operators.stoppable import STOPPED, StoppableOperator
from pattern_learning.operators.analytics import PatternAnalyticsOperator, PatternTracePruneOperator
from tests.conftest import config_of
from tests.integration.quality.test_quality_backfill import put, real_points
from tests.support.connections import connections_of, set_postgres
from tests.support.kept_connections import forget
from tests.support.two_sides import TwoSides, rows

VERSIONS = [migration.version for migration in read_migrations()]
LEDGER = "SELECT version, state FROM pattern_schema_migrations ORDER BY version"
RUN = SimpleNamespace(
    run_id="run",
    dag_id="dag",
    run_type=SimpleNamespace(value="manual"),
    data_interval_start=None,
    data_interval_end=None,
    run_after=None,
)
TASK = SimpleNamespace(dag_id="dag", try_number=1, max_tries=0, xcom_push=lambda key, value: None)


@contextmanager
def blocked(dsn: str, statement: str) -> Iterator[None]:
    """Hold what a statement locks; tell this process to stop as soon as another session waits for it."""

    def stop() -> None:
        with psycopg.connect(dsn, autocommit=True) as watcher:
            query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
            while watcher.execute(query, [holder.info.backend_pid]).fetchone() == (0,):
                time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    with psycopg.connect(dsn) as holder:
        holder.execute(statement.encode())
        thread = threading.Thread(target=stop)
        thread.start()
        try:
            yield
        finally:
            thread.join()


@pytest.fixture
def stopped() -> Iterator[Callable[[StoppableOperator, str, str], str]]:
    """Run a task that waits for a lock, stop it, and return its message."""
    before = signal.getsignal(signal.SIGTERM)

    def run(operator: StoppableOperator, dsn: str, statement: str) -> str:
        # As Airflow's task runner does it.
        signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
        with blocked(dsn, statement), pytest.raises(AirflowException) as raised:
            operator.execute(context())
        forget(str(conninfo_to_dict(dsn)["dbname"]))
        # No session of the task is left: one that went on in the server would hold its locks.
        with psycopg.connect(dsn, autocommit=True) as watcher:
            query = (
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            )
            deadline = time.monotonic() + 30
            while left := watcher.execute(query).fetchall():
                assert time.monotonic() < deadline, left
                time.sleep(0.02)
        return str(raised.value)

    yield run
    signal.signal(signal.SIGTERM, before)


def context() -> Any:
    return {"dag_run": RUN, "ti": TASK}


def migration(action: str = "apply") -> PatternMigrationOperator:
    return PatternMigrationOperator(task_id=action, action=action)


def ledger(dsn: str) -> list[tuple[int, str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(LEDGER).fetchall()


@pytest.fixture
def database(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    set_postgres(monkeypatch, config_of(empty_database))
    return empty_database


def applied_up_to(version: int) -> None:
    PatternMigrationOperator(task_id="apply", action="apply", target=version).execute(context())


Stopped = Callable[[StoppableOperator, str, str], str]


@pytest.mark.remedy(Code.STOPPED)
def test_a_file_that_is_running_leaves_nothing(database: str, stopped: Stopped) -> None:
    applied_up_to(13)
    assert STOPPED in stopped(migration(), database, "LOCK TABLE pattern_quality_metrics")
    assert ledger(database) == [(1, "applied"), (13, "applied")]
    assert migration().execute(context())["versions"] == [version for version in VERSIONS if version > 13]
    assert migration("verify").execute(context())["version"] == VERSIONS[-1]


def test_an_index_that_is_being_built_is_cleaned_up_by_the_next_run(database: str, stopped: Stopped) -> None:
    applied_up_to(15)
    assert STOPPED in stopped(migration(), database, "LOCK TABLE pattern_lineage_nodes IN ROW EXCLUSIVE MODE")
    assert ledger(database)[-1] == (16, "applying")
    assert migration().execute(context())["versions"] == [version for version in VERSIONS if version > 15]
    assert migration("verify").execute(context())["version"] == VERSIONS[-1]


def test_a_plan_stops_too(database: str, stopped: Stopped) -> None:
    applied_up_to(VERSIONS[-1])
    assert STOPPED in stopped(migration("plan"), database, "LOCK TABLE pattern_schema_migrations")
    assert migration("plan").execute(context())["versions"] == []


@pytest.mark.parametrize(
    ("operator", "table"),
    [
        (lambda: PatternAnalyticsOperator(task_id="compute"), "pattern_analytics"),
        (lambda: PatternTracePruneOperator(task_id="prune"), "pattern_learning_traces"),
        (lambda: QualityScoreOperator(task_id="score", collection="scored"), "pattern_quality_metrics"),
    ],
    ids=["analytics", "prune", "quality"],
)
def test_other_tasks_stop_too(
    sides: TwoSides,
    migrated_database: str,
    monkeypatch: pytest.MonkeyPatch,
    stopped: Stopped,
    operator: Callable[[], StoppableOperator],
    table: str,
) -> None:
    for name, value in connections_of(sides).items():
        monkeypatch.setenv(name, value)
    name = put(sides, "archon_vectors", real_points(20))
    task = operator()
    if isinstance(task, QualityScoreOperator):
        task.collection = name
    assert STOPPED in stopped(task, migrated_database, f"LOCK TABLE {table}")
    with psycopg.connect(migrated_database) as connection:
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    task.execute(context())


@pytest.mark.remedy(Code.STOPPED)
def test_a_sync_that_is_stopped_goes_on_in_its_next_try(
    sides: TwoSides, migrated_database: str, monkeypatch: pytest.MonkeyPatch, stopped: Stopped
) -> None:
    for name, value in connections_of(sides).items():
        monkeypatch.setenv(name, value)
    sides.insert(rows(5))
    sides.sync("full")
    sides.insert(rows(5, start=10))
    task = QdrantUpsertOperator(task_id="sync", mode="full")
    said = stopped(task, migrated_database, "LOCK TABLE pattern_lineage_nodes")
    assert STOPPED in said
    assert said.endswith(f"[{Code.STOPPED}]")
    assert sides.execute("SELECT status FROM pattern_sync_runs WHERE status NOT IN ('succeeded', 'stopped')") == []
    assert len(sides.points()) == 5
    assert task.execute(context())["parity"] == "proven"
    sides.assert_equal_sides()
