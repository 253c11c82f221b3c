"""The quality DAG as real DAG runs: by hand, after a sync, and with everything wrong that can be."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Asset

from code_patterns.quality.dimensions import TIERS, WEIGHTS
from tests.conftest import ROOT
from tests.dags.conftest import Outcome
from tests.integration.quality.test_quality_backfill import put, real_points, stored
from tests.support.connections import set_connection
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def score(run_dag: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def run(**params: Any) -> Outcome:
        return run_dag("quality_backfill", "score", delay_seconds=0, **params)

    return run


def test_scores_are_stored_logged_and_returned(connected: TwoSides, score: Callable[..., Outcome]) -> None:
    name = put(connected, "archon_vectors", real_points(60))
    outcome = score(collection=name, batch_size=25)
    assert outcome.state == "success", outcome.log[-3000:]
    assert (outcome.xcom["found"], outcome.xcom["stored"], outcome.xcom[f"found_in_{name}"]) == (60, 60, 60)
    assert sum(outcome.xcom[tier] for tier, _ in TIERS) == 60
    assert {f"average_{dimension}" for dimension in WEIGHTS} <= outcome.xcom.keys()
    assert not [value for value in outcome.xcom.values() if isinstance(value, dict | list)]
    assert "What the quality backfill did" in outcome.log
    assert len(stored(connected)) == 60
    assert connected.execute("SELECT dag_id, status FROM pattern_quality_runs") == [("quality_backfill", "succeeded")]


def test_params_reach_the_run(connected: TwoSides, score: Callable[..., Outcome]) -> None:
    name = put(connected, "archon_vectors", real_points(30))
    assert score(collection=name, dry_run=True).xcom["stored"] == 0
    assert stored(connected) == {}
    assert score(collection=name, limit=10).xcom["stored"] == 10
    again = score(collection=name, only_missing=True)
    assert (again.xcom["skipped"], again.xcom["stored"]) == (10, 20)
    assert score(collection=name, min_confidence=0.7).xcom["found"] == 0


def test_a_full_sync_wakes_it(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    dags = DagBag(ROOT / "dags").dags
    [outlet] = [outlet for task in dags["pattern_sync_full"].tasks for outlet in task.outlets]
    assert outlet == Asset("code_patterns")
    assert dags["quality_backfill"].timetable.asset_condition == outlet
    connected.insert(rows(20))
    assert run_dag("pattern_sync_full").state == "success"
    outcome = run_dag("quality_backfill", "score", collection="all", delay_seconds=0)
    assert outcome.state == "success", outcome.log[-3000:]
    assert outcome.xcom[f"found_in_{connected.collection}"] == 20


def test_no_pattern_is_said_in_words(
    connected: TwoSides, score: Callable[..., Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    name = put(connected, "archon_vectors", {})
    outcome = score(collection=name)
    assert outcome.state == "success"
    assert "No pattern was found" in outcome.xcom["note"]
    assert "No pattern was found" in outcome.log
    assert logging.WARNING in {record.levelno for record in caplog.records}


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (lambda sides, patch: None, ("no collection 'archon_vectors'", "Param 'collection'")),
        (
            lambda sides, patch: sides.execute("DROP TABLE pattern_quality_metrics CASCADE"),
            ("'patterns_postgres'", "lacks the table pattern_quality_metrics", "schema_migration"),
        ),
        (
            lambda sides, patch: sides.execute(
                "ALTER TABLE pattern_quality_metrics DROP CONSTRAINT pattern_quality_metrics_pattern_id_unique"
            ),
            ("unique constraint", "014", "schema_migration"),
        ),
        (
            lambda sides, patch: patch.setenv("AIRFLOW_VAR_QUALITY_BACKFILL_BATCH_SIZE", "0"),
            ("Variable 'quality_backfill_batch_size'", "'0'"),
        ),
    ],
)
def test_one_clear_message_before_anything_is_scored(
    connected: TwoSides,
    score: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[TwoSides, pytest.MonkeyPatch], Any],
    words: tuple[str, ...],
) -> None:
    put(connected, "some", {1: {}})
    breaks(connected, monkeypatch)
    outcome = score()
    assert outcome.state == "failed"
    for word in words:
        assert word in outcome.message
    assert "\n" not in outcome.message
    assert connected.execute("SELECT count(*) FROM pattern_quality_runs") == [(0,)]


def test_a_server_that_is_down_is_tried_again(
    connected: TwoSides, score: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, "patterns_qdrant", conn_type="qdrant", host="127.0.0.1", port=9)
    outcome = score()
    assert outcome.state == "failed"
    for word in ("'patterns_qdrant'", "cannot connect", "Tried once at the start of the run", "Try 1 of 1 failed"):
        assert word in outcome.outage
    assert connected.execute("SELECT count(*) FROM pattern_quality_runs") == [(0,)]
