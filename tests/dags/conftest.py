"""DAG runs as Airflow does them: a metadata database, connections by environment, the bundle's own DAG files."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.support.airflow_database import copy_database
from tests.support.connections import connections_of
from tests.support.leaks import LEAKS
from tests.support.two_sides import TwoSides


@pytest.fixture(scope="session")
def metadata_database() -> Iterator[None]:
    """Airflow's own database on SQLite, with the bundle's DAGs and no runs."""
    copy_database(Path(os.environ["AIRFLOW_HOME"], "airflow.db"))

    from airflow.dag_processing import dagbag
    from airflow.sdk import DAG

    bag = dagbag.DagBag(ROOT / "dags", bundle_path=ROOT / "dags")
    assert bag.import_errors == {}
    sleep = time.sleep

    def sleep_less(seconds: float) -> None:
        # Where no task can run yet, dag.test() looks again after a second: once or more in nearly every run.
        sleep(0.01 if sys._getframe(1).f_code is DAG.test.__code__ else seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", sleep_less)
        # Each dag.test() would parse and store the whole bundle again, which takes longer than most runs.
        patch.setattr(dagbag, "BundleDagBag", lambda **arguments: bag)
        patch.setattr(dagbag, "sync_bag_to_db", lambda *arguments: None)
        yield


def parsed(dag_id: str) -> Any:
    """The DAG, parsed anew from its file: a DAG object keeps the Params of its last run."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(ROOT / "dags" / f"{dag_id}.py").dags[dag_id]


@pytest.fixture
def hourly(metadata_database: None) -> Any:
    """The hourly DAG as the scheduler reads it from Airflow's database."""
    from airflow.models.serialized_dag import SerializedDagModel

    model = SerializedDagModel.get("pattern_sync_incremental")
    assert model
    return model.dag


def make_run(dag: Any, run_type: str, start: datetime, state: str = "success") -> str:
    """Make a run of an hour as Airflow's scheduler does, and return its id."""
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    kind, end = DagRunType(run_type), start + timedelta(hours=1)
    run = dag.create_dagrun(
        run_id=kind.generate_run_id(suffix=end.isoformat()),
        logical_date=start,
        data_interval=(start, end),
        run_after=end,
        run_type=kind,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState(state),
    )
    return str(run.run_id)


@dataclass
class Outcome:
    """How a DAG run ended."""

    state: str
    xcom: Any
    log: str

    @property
    def message(self) -> str:
        """The one sentence that a task ends with which failed for good."""
        return self._ending("AirflowFailException: ")

    @property
    def outage(self) -> str:
        """The one sentence that a task ends with which Airflow would try again."""
        return self._ending("AirflowException: ")

    def _ending(self, exception: str) -> str:
        found = [line for line in self.log.splitlines() if exception in line]
        assert found, self.log[-3000:]
        return found[-1].split(exception, 1)[1].strip()


@pytest.fixture
def connected(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> TwoSides:
    """The sides, with connections and Variables that name it."""
    for name, value in connections_of(sides).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_VAR_PATTERNS_PATIENCE_SECONDS", "0")
    return sides


@pytest.fixture
def run_dag(
    metadata_database: None, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run a DAG of the bundle to its end in this process, with Params."""

    def run(dag_id: str, task_id: str = "sync", **params: Any) -> Outcome:
        caplog.clear()
        capfd.readouterr()
        with caplog.at_level("INFO"):
            dag = parsed(dag_id)
            for task in dag.tasks:
                # A run that is to be tried again would wait for it, minutes each time.
                task.retries = 0
            dag_run = dag.test(run_conf=params)
        instance = dag_run.get_task_instance(task_id)
        xcom = instance.xcom_pull(task_ids=task_id) if instance.state == "success" else None
        out, err = capfd.readouterr()
        outcome = Outcome(str(dag_run.state), xcom, caplog.text + out + err)
        LEAKS.look(f"log of {dag_id}", outcome.log)
        LEAKS.look(f"XCom of {dag_id}", str(outcome.xcom))
        return outcome

    return run
