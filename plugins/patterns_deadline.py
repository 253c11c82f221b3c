"""Airflow plugin: the moment from which the deadline of the hourly run counts.

Airflow loads this file in its long-lived processes, so it must not import the packages beside it: tasks of another
version of the bundle would get them too.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.definitions.deadline import BaseDeadlineReference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class RunQueuedAt(BaseDeadlineReference):
    """When the run was queued; a run of a backfill has no deadline, because all are queued at once and wait long.

    With Airflow's own ``DeadlineReference.DAGRUN_QUEUED_AT`` no run can be cleared: Airflow 3.3 answers 500
    (apache/airflow#70368). This one differs in that the deadline of a cleared run stays where it was.
    """

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: "Session", dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun
        from airflow.utils.types import DagRunType
        from sqlalchemy import select

        return session.scalar(
            select(DagRun.queued_at).where(
                DagRun.dag_id == dag_id, DagRun.run_id == run_id, DagRun.run_type != DagRunType.BACKFILL_JOB
            )
        )


class PatternsDeadlinePlugin(AirflowPlugin):
    """Lets Airflow store and evaluate the reference."""

    name = "patterns_deadline"
    deadline_references = [RunQueuedAt]  # noqa: RUF012 - as Airflow declares it
