"""The task ``prune`` of the full sync, as Airflow runs it."""

from collections.abc import Callable

import pytest
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from sqlalchemy import func, select

from tests.dags.conftest import Outcome
from tests.support.two_sides import TwoSides, rows

OLD_RUN = "INSERT INTO pattern_sync_runs (name, collection, kind, started_at) VALUES ('n', 'old', 'full', '2001-01-01')"


def old_runs(sides: TwoSides) -> int:
    [(count,)] = sides.execute("SELECT count(*) FROM pattern_sync_runs WHERE collection = 'old'")
    return int(count)


def asset_events() -> int:
    with create_session() as session:
        return session.scalar(select(func.count()).select_from(AssetEvent)) or 0


def test_a_full_sync_ends_with_deleting_what_is_old(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(5))
    connected.execute(OLD_RUN)
    outcome = run_dag("pattern_sync_full", "prune")
    assert (outcome.state, outcome.xcom) == (
        "success",
        {"runs": 1, "tombstones": 0, "checkpoints": 0, "collections": 0},
    )
    assert "1 runs deleted" in outcome.log
    assert old_runs(connected) == 0
    # The runs of this very DAG run stay.
    assert connected.execute("SELECT kind FROM pattern_sync_runs ORDER BY started_at") == [("full",), ("verify",)]


def test_zero_or_nothing_keeps_for_ever(
    connected: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected.insert(rows(5))
    connected.execute(OLD_RUN)
    for value in ("0", ""):
        monkeypatch.setenv("AIRFLOW_VAR_PATTERN_RUN_RETENTION_DAYS", value)
        outcome = run_dag("pattern_sync_full", "prune")
        assert outcome.xcom["runs"] == 0
    assert old_runs(connected) == 1


def test_nothing_is_deleted_after_a_dry_or_limited_run(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(5))
    connected.execute(OLD_RUN)
    for params in ({"dry_run": True}, {"limit": 2}):
        assert run_dag("pattern_sync_full", "prune", **params).xcom is None
    assert old_runs(connected) == 1


@pytest.mark.parametrize(("name", "value"), [("run", "-1"), ("tombstone", "soon"), ("collection", "1.5")])
def test_a_prune_that_fails_leaves_the_sync_proven(
    connected: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    connected.insert(rows(5))
    before = asset_events()
    monkeypatch.setenv(f"AIRFLOW_VAR_PATTERN_{name.upper()}_RETENTION_DAYS", value)
    outcome = run_dag("pattern_sync_full", "verify")
    assert outcome.state == "failed"
    assert f"The Variable 'pattern_{name}_retention_days' is {value!r}; it must be a whole number of at least 0" in (
        outcome.message
    )
    assert outcome.xcom["parity"] == "proven"
    assert asset_events() == before + 1
    connected.assert_equal_sides()
    assert connected.sync().kind == "incremental"
