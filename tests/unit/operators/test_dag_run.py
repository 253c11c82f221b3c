"""What operators say about their DAG run, with the values that Airflow's SDK really gives them."""

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from code_patterns.operators.dag_run import identity_of, run_type_of
from code_patterns.quality.backfill_settings import COLLECTIONS, choose


def context(run_type: DagRunType) -> Any:
    run = SimpleNamespace(run_type=run_type, dag_id="a_dag", run_id="a_run")
    return {"dag_run": run, "ti": SimpleNamespace(try_number=2)}


@pytest.mark.parametrize("run_type", list(DagRunType))
def test_the_run_type_is_airflows_value(run_type: DagRunType) -> None:
    assert run_type_of(context(run_type)) == run_type.value
    assert "." not in run_type_of(context(run_type))


def test_a_run_that_an_asset_has_triggered_scores_what_is_missing_everywhere() -> None:
    woken = choose({}, run_type_of(context(DagRunType.ASSET_TRIGGERED)), lambda name: None)
    assert (woken.only_missing, woken.only_existing, woken.collections) == (True, True, COLLECTIONS)
    by_hand = choose({}, run_type_of(context(DagRunType.MANUAL)), lambda name: None)
    assert (by_hand.only_missing, by_hand.collections) == (False, ("archon_vectors",))


def test_each_try_has_an_identity_of_its_own() -> None:
    one, other = (identity_of(context(DagRunType.MANUAL)) for _ in range(2))
    assert (one.dag_id, one.dag_run_id, one.task_try) == ("a_dag", "a_run", 2)
    assert one.id != other.id
