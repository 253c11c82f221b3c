"""The DAG that backs up, as Airflow runs it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from code_patterns.servers.qdrant_config import QdrantConfig
from tests.dags.conftest import Outcome, parsed
from tests.support.connections import connections_of
from tests.support.two_sides import TwoSides, rows


def test_it_is_paused_until_a_person_unpauses_it() -> None:
    dag = parsed("pattern_backup")
    assert dag.is_paused_upon_creation is True
    assert not dag.timetable.can_be_scheduled


def test_the_commands_are_in_summary_and_xcom(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    if not connected.qdrant.url:
        pytest.skip("only a Qdrant server makes snapshots: name one in PATTERNS_TEST_QDRANT_URL")
    connected.insert(rows(5))
    connected.sync("full")
    outcome = run_dag("pattern_backup", "snapshot", keep=2)
    assert outcome.state == "success"
    assert outcome.xcom["points"] == 5
    for command in (outcome.xcom["dump"], outcome.xcom["download"]):
        assert command in outcome.log
    [(progress,)] = connected.execute("SELECT progress FROM pattern_sync_backups")
    assert outcome.xcom["number"] == int(progress.split("-")[0])


def test_an_embedded_storage_fails_for_good(
    connected: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connected.qdrant = QdrantConfig(conn_id="patterns_qdrant", path=str(tmp_path / "qdrant"))
    for name, value in connections_of(connected).items():
        monkeypatch.setenv(name, value)
    outcome = run_dag("pattern_backup", "snapshot")
    assert outcome.state == "failed"
    assert "embedded storage, which makes no snapshots" in outcome.message
