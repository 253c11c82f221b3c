"""The operator that starts a full sync where only that can go on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context


class ComparisonOperator(TriggerDagRunOperator):
    """Start a DAG that compares everything, or skip.

    :param needed: whether it is needed, as the XCom ``comparison_needed`` of the stream says
    """

    template_fields: Sequence[str] = (*TriggerDagRunOperator.template_fields, "needed", "note")

    def __init__(self, *, needed: bool | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.needed = needed

    def execute(self, context: "Context") -> None:
        """Start the run, or skip this task."""
        if str(self.needed) != "True":
            raise AirflowSkipException("The stream ended as it should; nothing has to be compared.")
        super().execute(context)
