"""The operator that deletes what the sync has kept for long enough."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.operators.summary import tell
from code_patterns.operators.task_errors import task_errors
from code_patterns.params import choose, is_set
from code_patterns.sync.retention import prune
from code_patterns.sync.sync_settings import RetentionSettings
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

if TYPE_CHECKING:
    from airflow.sdk import Context


class PatternPruneOperator(StoppableOperator):
    """Delete old runs, tombstones, checkpoints, dead letters and collections; return counts and names.

    The Variables ``pattern_run_retention_days`` (90), ``pattern_tombstone_retention_days`` (30) and
    ``pattern_collection_retention_days`` (30) say how long each is kept; 0 means for ever.

    :param collection: alias or collection; Variable ``patterns_collection``, default ``code_patterns``
    :param dry_run_only: dry run: count what would be deleted, delete nothing
    :param default_collection: used instead of the Variable if ``collection`` is empty
    :param postgres_conn_id: connection of the patterns' database
    :param qdrant_conn_id: connection of Qdrant
    :param sync_target: whose task it is
    """

    template_fields: Sequence[str] = ("collection", "dry_run_only")
    ui_color = "#4b8bbe"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        collection: str | None = None,
        dry_run_only: bool | str = False,
        default_collection: str | None = None,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
        sync_target: SyncTarget = WITHOUT_NAME,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.dry_run_only = dry_run_only
        self.default_collection = default_collection
        self.postgres_conn_id = postgres_conn_id
        self.qdrant_conn_id = qdrant_conn_id
        self.sync_target = sync_target

    def execute(self, context: "Context") -> dict[str, Any]:
        """Delete what is old enough, and return counts and names."""
        with task_errors(context, self.sync_target):
            collection = self.collection if is_set(self.collection) else self.default_collection
            params = {"collection": collection, "dry_run": self.dry_run_only}
            settings = choose(RetentionSettings, params, read_variable, given={"target": self.sync_target})
            postgres = PatternsPostgresHook(self.postgres_conn_id).config
            qdrant = PatternsQdrantHook(self.qdrant_conn_id).config
            result = self.run_work(prune(postgres, qdrant, settings))
        tell(context, result.summary())
        return result.as_xcom()
