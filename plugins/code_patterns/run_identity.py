"""Which run something was done by."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class RunIdentity:
    """Which run this is, for the history.

    :param id: its own id
    :param dag_id: the DAG it belongs to, if any
    :param dag_run_id: the DAG run
    :param task_try: which try of the task
    """

    id: UUID
    dag_id: str | None = None
    dag_run_id: str | None = None
    task_try: int | None = None
