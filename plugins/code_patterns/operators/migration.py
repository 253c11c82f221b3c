"""The operator of the DAG schema_migration."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.exceptions import AirflowSkipException

from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.migrations import runner
from code_patterns.migrations.request import MigrationRequest, read_request
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.operators.summary import tell
from code_patterns.operators.task_errors import task_errors
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class PatternMigrationOperator(StoppableOperator):
    """Plan, apply or verify the migrations of the patterns database; return versions and counts.

    :param action: ``plan`` logs what would run, with its SQL; ``apply`` runs it; ``verify`` compares the database with
        the ledger, the files and the expected schema
    :param direction: ``up`` or ``down``
    :param target: version to end at; empty means the newest; ``down`` needs it, and 0 removes everything
    :param dry_run_only: dry run: ``apply`` is skipped
    :param postgres_conn_id: connection of the patterns' database: the server itself, not a pooler
    :param sync_target: whose task it is
    """

    template_fields: Sequence[str] = ("direction", "target", "dry_run_only", "postgres_conn_id")
    ui_color = "#336791"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        action: Literal["plan", "apply", "verify"],
        direction: str = "up",
        target: int | str | None = None,
        dry_run_only: bool | str = False,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        sync_target: SyncTarget = WITHOUT_NAME,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.action = action
        self.direction = direction
        self.target = target
        self.dry_run_only = dry_run_only
        self.postgres_conn_id = postgres_conn_id
        self.sync_target = sync_target

    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the action and return its result for XCom."""
        with task_errors(context, self.sync_target):
            request = read_request(self.direction, self.target, self.dry_run_only)
            config = PatternsPostgresHook(postgres_conn_id=self.postgres_conn_id).config
            if self.action == "plan":
                return self._plan(context, config, request)
            if self.action == "verify":
                found = self.run_blocking(lambda: runner.verify(config))
                tell(context, f"Version {found.version:03} is in order: {found.facts:,} facts hold.")
                return asdict(found)
            if request.dry_run:
                raise AirflowSkipException(
                    "Dry run: nothing was applied. The plan is in the log of the task before; to apply it, "
                    "trigger again with dry_run off."
                )
            run_id = context["dag_run"].run_id
            result = self.run_blocking(lambda: runner.apply(config, request.direction, request.target, run_id))
            tell(context, f"The database is at version {result.version:03} now.")
            return asdict(result) | {"versions": list(result.versions)}

    def _plan(self, context: "Context", config: PostgresConfig, request: MigrationRequest) -> dict[str, Any]:
        plan = self.run_blocking(lambda: runner.plan(config, request.direction, request.target))
        for script in (script for step in plan.steps for script in step.scripts):
            log.info("%s.sql:\n%s", script.name, script.sql)
        for note in plan.notes:
            log.info("Note: %s", note)
        for obstacle in plan.obstacles:
            log.warning("Refused: %s", obstacle)
        tell(context, plan.summary)
        return {"version": plan.version, "versions": [step.migration.version for step in plan.steps]}
