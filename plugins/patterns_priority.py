"""Airflow plugin: which run of a DAG goes first.

Airflow loads this file in its long-lived processes, so it must not import the packages beside it: tasks of another
version of the bundle would get them too.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin
from airflow.task.priority_strategy import PriorityWeightStrategy
from airflow.utils.types import DagRunType

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance


class BackfillsLast(PriorityWeightStrategy):
    """The runs of a backfill give way to all other runs.

    Of tasks with the same weight Airflow starts those with the oldest date. Only one task of the sync runs at a time,
    so without this an hourly run would wait for every active run of a backfill.
    """

    def get_weight(self, ti: "TaskInstance") -> int:
        """Weigh a task, higher first.

        Airflow asks when it makes a run, and when the run is cleared. A backfill of hours that ran before clears their
        runs, which are still called scheduled at that moment; so all past runs weigh less than present ones. They
        weigh more than a new backfill, because the run that a person clears keeps the next hourly run waiting.
        """
        weight: int = ti.task.priority_weight  # type: ignore[union-attr]  # it is always set here
        if DagRunType.from_run_id(ti.run_id) is DagRunType.BACKFILL_JOB:
            return weight - 2
        # There is none while Airflow makes it.
        run: DagRun | None = ti.dag_run
        return weight - 1 if run and _is_past(run) else weight


def _is_past(run: "DagRun") -> bool:
    """Whether the run of the next interval is due, too, and makes up for this one."""
    start, end = run.data_interval_start, run.data_interval_end
    return bool(start and end) and end + (end - start) < datetime.now(UTC)


class PatternsPriorityPlugin(AirflowPlugin):
    """Lets Airflow store and evaluate the weight rule."""

    name = "patterns_priority"
    priority_weight_strategies = [BackfillsLast]  # noqa: RUF012 - as Airflow declares it
