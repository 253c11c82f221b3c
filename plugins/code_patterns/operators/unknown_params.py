"""Refuse a run that was started with Params that its DAG does not have."""

from typing import TYPE_CHECKING

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.operators.task_errors import task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


def refuse_unknown_params(context: "Context") -> None:
    """Fail the task if its run has a Param that the DAG does not know, as ``pre_execute`` of every task.

    Airflow takes any name by API and command line: ``dryrun`` would start a real run.
    """
    known = context["dag"].params
    with task_errors(context):
        if unknown := sorted((context["dag_run"].conf or {}).keys() - known.keys()):
            raise ConfigurationError(
                Code.SETTING_WRONG,
                f"The run was started with the unknown Param '{unknown[0]}'. Nothing was done. Trigger it again; known "
                f"are {', '.join(known)}.",
            )
