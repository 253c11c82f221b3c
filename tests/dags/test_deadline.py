"""The deadline of the hourly run."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from pkgutil import resolve_name
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from code_patterns.operators.deadline import report_missed_deadline
from patterns_deadline import RunQueuedAt
from tests.conftest import ROOT
from tests.dags.conftest import make_run

FILE = ROOT / "dags" / "pattern_sync_incremental.py"


def test_without_the_variable_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATTERNS_HOURLY_DEADLINE_MINUTES", raising=False)
    assert DagBag(FILE).dags["pattern_sync_incremental"].deadline is None


def test_the_variable_sets_it_and_names_what_the_triggerer_can_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_HOURLY_DEADLINE_MINUTES", "45")
    dag = DagBag(FILE).dags["pattern_sync_incremental"]
    [alert] = dag.deadline
    assert alert.interval == timedelta(minutes=45)
    assert inspect.iscoroutinefunction(resolve_name(alert.callback.path))
    assert DagSerialization.to_dict(dag)["dag"]["deadline"]


@pytest.mark.parametrize("minutes", ["soon", "0", "-5", "nan", "1e300"])
def test_a_senseless_variable_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, minutes: str) -> None:
    monkeypatch.setenv("PATTERNS_HOURLY_DEADLINE_MINUTES", minutes)
    [error] = DagBag(FILE).import_errors.values()
    assert f"PATTERNS_HOURLY_DEADLINE_MINUTES is '{minutes}'; it must be a positive number" in error


def test_the_report_names_the_run(caplog: pytest.LogCaptureFixture) -> None:
    run = {"dag_id": "pattern_sync_incremental", "dag_run_id": "scheduled__1", "state": "running"}
    context = {"dag_run": run, "deadline": {"deadline_time": "2026-11-20T12:45:00Z"}}
    message = asyncio.run(report_missed_deadline(context))
    assert "run scheduled__1, running, was due by 2026-11-20T12:45:00Z" in message
    assert message in caplog.text


def test_a_run_of_a_backfill_has_no_deadline(hourly: Any) -> None:
    """All of them are queued at once; most would be late before they begin."""
    from airflow.utils.session import create_session

    start = datetime(2026, 1, 2, tzinfo=UTC)

    def counts_from(run_id: str) -> datetime | None:
        with create_session() as session:
            return RunQueuedAt()._evaluate_with(session=session, dag_id="pattern_sync_incremental", run_id=run_id)

    assert counts_from(make_run(hourly, "scheduled", start, "queued"))
    assert counts_from(make_run(hourly, "backfill", start + timedelta(hours=1), "queued")) is None
