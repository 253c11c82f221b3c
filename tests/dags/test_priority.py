"""Which run of the hourly sync goes first, as Airflow stores it."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.dags.conftest import make_run

DAG_ID = "pattern_sync_incremental"
HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

WITHOUT_THE_PLUGIN = f"""
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag({str(ROOT / "dags")!r})
assert bag.import_errors == {{}}
for dag in bag.dags.values():
    DagSerialization.from_dict(DagSerialization.to_dict(dag))
print(bag.dags[{DAG_ID!r}].get_task("sync").weight_rule)
"""


def weights() -> dict[str, int]:
    """The weight of each run's task."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        chosen = select(TaskInstance.run_id, TaskInstance.priority_weight).where(TaskInstance.dag_id == DAG_ID)
        return dict(session.execute(chosen).tuples().all())


def test_a_backfill_gives_way_whether_its_hours_have_run_before_or_not(hourly: Any) -> None:
    from airflow.models.backfill import ReprocessBehavior, _create_backfill

    others, first = weights(), NOW - 40 * HOUR
    again = make_run(hourly, "scheduled", first)
    _create_backfill(
        dag_id=DAG_ID,
        from_date=first,
        to_date=first + HOUR,
        max_active_runs=10,
        reverse=False,
        dag_run_conf=None,
        triggering_user_name="somebody",
        reprocess_behavior=ReprocessBehavior.COMPLETED,
    )
    late, asked = make_run(hourly, "scheduled", NOW - HOUR), make_run(hourly, "manual", NOW - 50 * HOUR)
    found = weights()
    [never] = [run_id for run_id in found.keys() - others.keys() if run_id.startswith("backfill__")]
    assert min(found[late], found[asked]) > found[again] > found[never]


def test_without_the_plugin_every_dag_loads(tmp_path: Path) -> None:
    environment = {**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_PLUGIN], capture_output=True, text=True, timeout=240, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "absolute"
