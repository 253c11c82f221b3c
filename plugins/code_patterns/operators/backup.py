"""The operator that backs up both sides."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.operators.dag_run import identity_of
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.operators.summary import tell
from code_patterns.operators.task_errors import task_errors
from code_patterns.params import choose, is_set
from code_patterns.sync.backup import back_up
from code_patterns.sync.sync_settings import BackupSettings
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

if TYPE_CHECKING:
    from airflow.sdk import Context


class PatternBackupOperator(StoppableOperator):
    """Make a Qdrant snapshot, and return it with the command for the matching dump; delete older snapshots.

    :param collection: alias or collection; Variable ``patterns_collection``, default ``code_patterns``
    :param keep: how many snapshots stay; Variable ``pattern_backup_keep``, default 3
    :param default_collection: used instead of the Variable if ``collection`` is empty
    :param sync_target: whose collection it is
    :param postgres_conn_id: connection of the patterns' database
    :param qdrant_conn_id: connection of Qdrant
    :param embedding_conn_id: connection of the embedding server, which is not asked
    """

    template_fields: Sequence[str] = ("collection", "keep")
    ui_color = "#4b8bbe"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        collection: str | None = None,
        keep: int | str | None = None,
        default_collection: str | None = None,
        sync_target: SyncTarget = WITHOUT_NAME,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
        embedding_conn_id: str = EmbeddingHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.keep = keep
        self.default_collection = default_collection
        self.sync_target = sync_target
        self.postgres_conn_id = postgres_conn_id
        self.qdrant_conn_id = qdrant_conn_id
        self.embedding_conn_id = embedding_conn_id

    def execute(self, context: "Context") -> dict[str, Any]:
        """Make the snapshot and return what it is."""
        with task_errors(context, self.sync_target):
            collection = self.collection if is_set(self.collection) else self.default_collection
            params, given = {"collection": collection, "keep": self.keep}, {"target": self.sync_target}
            settings = choose(BackupSettings, params, read_variable, given=given)
            postgres = PatternsPostgresHook(self.postgres_conn_id).config
            qdrant = PatternsQdrantHook(self.qdrant_conn_id).config
            embedding = EmbeddingHook(self.embedding_conn_id).config
            backup = self.run_work(back_up(postgres, qdrant, embedding, settings, identity_of(context)))
        tell(context, backup.summary())
        return backup.as_xcom()
