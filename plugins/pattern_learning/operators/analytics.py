"""The operators of the storage layer in the DAGs pattern_analytics and pattern_maintenance."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.operators.summary import tell
from code_patterns.operators.task_errors import task_errors
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget
from pattern_learning.daily import choose_day, choose_patience, choose_retention
from pattern_learning.jobs import compute_period, prune_traces

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class PatternAnalyticsOperator(StoppableOperator):
    """Compute a day's analytics, over all templates and for each one used; return counts and an id.

    :param day: the day in UTC, as ``2026-03-01``; empty means the run's data interval, or yesterday if it
        has none
    :param postgres_conn_id: connection of the patterns' database
    """

    template_fields: Sequence[str] = ("day", "postgres_conn_id")
    ui_color = "#4b8bbe"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        day: str | None = None,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.day = day
        self.postgres_conn_id = postgres_conn_id

    def execute(self, context: "Context") -> dict[str, Any]:
        """Compute the day and return its counts."""
        run = context["dag_run"]
        with task_errors(context):
            period = choose_day(self.day, run.data_interval_start, run.data_interval_end)
            patience = choose_patience(read_variable)
            done = self.run_work(compute_period(PatternsPostgresHook(self.postgres_conn_id).config, period, patience))
        events, templates = done.total_usage_count, done.pattern_rows
        tell(context, f"{done.period_start:%Y-%m-%d}: {events:,} events, {templates:,} templates used")
        return done.as_xcom()


class PatternTracePruneOperator(StoppableOperator):
    """Delete traces older than the Variable ``pattern_trace_retention_days`` says (90; 0: none); return how many.

    :param dry_run_only: dry run: count what would be deleted, delete nothing
    :param postgres_conn_id: connection of the patterns' database
    :param sync_target: whose task it is
    """

    template_fields: Sequence[str] = ("postgres_conn_id", "dry_run_only")
    ui_color = "#4b8bbe"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        dry_run_only: bool | str = False,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        sync_target: SyncTarget = WITHOUT_NAME,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dry_run_only = dry_run_only
        self.postgres_conn_id = postgres_conn_id
        self.sync_target = sync_target

    def execute(self, context: "Context") -> int:
        """Delete old traces and return how many there were."""
        with task_errors(context, self.sync_target):
            retention = choose_retention(read_variable, self.dry_run_only)
            pruned = self.run_work(prune_traces(PatternsPostgresHook(self.postgres_conn_id).config, retention))
        verb = "would be deleted" if retention.dry_run else "deleted"
        days = retention.days
        tell(context, f"{pruned:,} traces older than {days} days {verb}" if days else "traces are kept for ever")
        return pruned
