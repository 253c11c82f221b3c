"""What an operator reads from its DAG run."""

from typing import TYPE_CHECKING
from uuid import uuid4

from code_patterns.run_identity import RunIdentity

if TYPE_CHECKING:
    from airflow.sdk import Context


def run_type_of(context: "Context") -> str:
    """The DAG run's type, such as ``asset_triggered``."""
    # str() of the SDK's enum is "DagRunType.ASSET_TRIGGERED".
    return context["dag_run"].run_type.value


def identity_of(context: "Context") -> RunIdentity:
    """A new identity for this try of the task, for the run history."""
    run = context["dag_run"]
    return RunIdentity(uuid4(), run.dag_id, run.run_id, context["ti"].try_number)
