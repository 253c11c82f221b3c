"""The identity of a run."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class RunIdentity:
    """The identity of a run, for the run history.

    :param id: its own id
    :param dag_id: its DAG, if it has one
    :param dag_run_id: the DAG run
    :param task_try: which try of the task
    """

    id: UUID
    dag_id: str | None = None
    dag_run_id: str | None = None
    task_try: int | None = None

    @property
    def dag_run(self) -> str | None:
        """Names the DAG run, which all its tries have in common; ``None`` without one."""
        return f"{self.dag_id}/{self.dag_run_id}" if self.dag_id and self.dag_run_id else None
