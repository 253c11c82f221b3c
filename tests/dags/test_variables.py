"""A Variable that makes no sense is told in the first line that the run itself logs, before any server is asked."""

import re
from collections.abc import Callable

import pytest

from code_patterns.events.topics import Topics
from code_patterns.params import choices_of
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.sync.sync_settings import BackupSettings, RetentionSettings, StreamSettings, SyncSettings
from pattern_learning.daily import Retention
from tests.conftest import ROOT
from tests.dags.conftest import Outcome
from tests.support.two_sides import TwoSides

DAGS = {
    SyncSettings: ("pattern_sync_incremental", "sync"),
    StreamSettings: ("pattern_sync_stream", "stream"),
    BackfillSettings: ("quality_backfill", "score"),
    RetentionSettings: ("pattern_maintenance", "prune"),
    Retention: ("pattern_maintenance", "prune_traces"),
    BackupSettings: ("pattern_backup", "snapshot"),
}
CASES = [
    (choice.variable, *first)
    for settings, first in DAGS.items()
    for choice in choices_of(settings).values()
    if choice.variable
]
OTHERS = [
    ("pattern_sync_max_delete_fraction", "pattern_sync_full", "partition"),
    ("pattern_sync_batch_size", "pattern_verify", "verify"),
    ("patterns_collection", "quality_backfill", "score"),
    ("patterns_patience_seconds", "pattern_analytics", "compute"),
]


@pytest.mark.parametrize(("variable", "dag_id", "task_id"), [*CASES, *OTHERS])
def test_a_senseless_variable_is_the_first_thing_that_a_task_says(
    connected: TwoSides,
    run_dag: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    dag_id: str,
    task_id: str,
) -> None:
    monkeypatch.setenv(f"AIRFLOW_VAR_{variable.upper()}", "a/b")
    # Other tasks of these two would fail for want of them.
    if dag_id not in ("pattern_analytics", "pattern_maintenance"):
        # The Variable is looked at before the connections.
        for name in ("postgres", "qdrant", "embeddings"):
            monkeypatch.delenv(f"AIRFLOW_CONN_PATTERNS_{name.upper()}")
    outcome = run_dag(dag_id, task_id, **({"collection": "all"} if dag_id == "quality_backfill" else {}))
    assert outcome.state == "failed"
    assert f"The Variable '{variable}' is 'a/b'; it must be " in outcome.message


def test_no_variable_is_left_out() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `(patterns?_\w+|quality_\w+)` \|", page, re.MULTILINE))
    # Those that are read only where Kafka is: see test_kafka.py.
    of_kafka = {choice.variable for choice in choices_of(Topics).values()}
    assert documented == {variable for variable, _, _ in CASES} | of_kafka
