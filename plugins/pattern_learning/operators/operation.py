"""The operator that runs one operation of the storage layer."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.operators.task_errors import task_errors
from pattern_learning import ModelContractEffect
from pattern_learning.jobs import run_operation

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class PatternLearningOperator(StoppableOperator):
    """Run one operation of the four nodes; return its data, with ids and times as text.

    The trace names the task. A refused argument fails the task at once; after an outage Airflow retries it. In a DAG
    without ``render_template_as_native_obj`` templates give text, so give numbers without a template there.

    :param operation: name of the operation, such as ``record_usage``
    :param arguments: the other fields of :class:`pattern_learning.ModelContractEffect`, such as ``pattern_id``
    :param postgres_conn_id: connection of the patterns' database
    """

    template_fields: Sequence[str] = ("operation", "arguments", "postgres_conn_id")
    ui_color = "#4b8bbe"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        operation: str,
        arguments: dict[str, Any] | None = None,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.operation = operation
        self.arguments = arguments
        self.postgres_conn_id = postgres_conn_id

    def execute(self, context: "Context") -> Any:
        """Run the operation and return its data."""
        with task_errors(context):
            contract = ModelContractEffect.of(self.operation, self._arguments(context))
            actor = f"{self.dag_id}.{self.task_id}"
            data = self.run_work(run_operation(PatternsPostgresHook(self.postgres_conn_id).config, contract, actor))
        log.info("%s done, correlation id %s", self.operation, contract.correlation_id)
        return data

    def _arguments(self, context: "Context") -> dict[str, Any]:
        """Give a usage event the same id at every try of this task, so that it counts once."""
        arguments = dict(self.arguments or {})
        usage = arguments.get("usage_data")
        task = context.get("ti")
        if task is not None and self.operation == "record_usage" and isinstance(usage, dict):
            name = f"{task.dag_id} {task.run_id} {task.task_id} {task.map_index}"
            arguments["usage_data"] = {"event_id": uuid5(NAMESPACE_URL, name), **usage}
        return arguments
