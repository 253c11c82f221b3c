"""The operator that looks at the tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.migrations.table_health import look_at_tables
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.operators.summary import tell
from code_patterns.operators.task_errors import task_errors
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

if TYPE_CHECKING:
    from airflow.sdk import Context


class PatternTableHealthOperator(StoppableOperator):
    """Report tables with much unused room, and indexes that are missing or not valid; change nothing.

    :param postgres_conn_id: connection of the patterns' database
    :param sync_target: whose task it is
    """

    template_fields: Sequence[str] = ("postgres_conn_id",)
    ui_color = "#336791"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        sync_target: SyncTarget = WITHOUT_NAME,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.postgres_conn_id = postgres_conn_id
        self.sync_target = sync_target

    def execute(self, context: "Context") -> dict[str, Any]:
        """Look, and return what was found."""
        with task_errors(context, self.sync_target):
            config = PatternsPostgresHook(self.postgres_conn_id).config
            health = self.run_blocking(lambda: look_at_tables(config, self.sync_target.migration))
        tell(context, health.summary())
        return health.as_xcom()
