"""What an operator says about the DAG run it belongs to."""

from typing import TYPE_CHECKING
from uuid import uuid4

from code_patterns.run_identity import RunIdentity

if TYPE_CHECKING:
    from airflow.sdk import Context


def run_type_of(context: "Context") -> str:
    """Airflow's name for the kind of the DAG run, such as ``asset_triggered``."""
    # The SDK's enum has its own name for a text: str() of it is "DagRunType.ASSET_TRIGGERED".
    return context["dag_run"].run_type.value


def identity_of(context: "Context") -> RunIdentity:
    """A new identity for what this try of the task does, for the history."""
    run = context["dag_run"]
    return RunIdentity(uuid4(), run.dag_id, run.run_id, context["ti"].try_number)
