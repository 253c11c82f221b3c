"""The operator of the DAG quality_backfill."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.operators.dag_run import identity_of, run_type_of
from code_patterns.operators.lineage import quality_lineage
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.operators.summary import tell
from code_patterns.operators.task_errors import task_errors
from code_patterns.params import is_set
from code_patterns.quality.backfill import backfill
from code_patterns.quality.backfill_settings import ALL, choose
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

if TYPE_CHECKING:
    from airflow.sdk import Context

    from code_patterns.operators.lineage import Lineage


class QualityScoreOperator(StoppableOperator):
    """Score the patterns of Qdrant collections and store the scores in PostgreSQL; return counts and averages.

    An empty Param falls back to its Variable, then to the default.

    :param collection: a collection or alias, or ``all``; default ``archon_vectors``, or ``all`` in a run that an
        asset triggered
    :param limit: most points to read; empty means all
    :param min_confidence: leave out points below this confidence, 0 to 1; default 0
    :param onex_weight: weight of ONEX compliance in the score, 0 to 1; Variable ``quality_onex_weight``, default 0.2
    :param batch_size: points per batch; Variable ``quality_backfill_batch_size``, default 100
    :param delay_seconds: pause between batches; Variable ``quality_backfill_delay_seconds``, default 0.5
    :param dry_run_only: dry run: score, but store nothing
    :param only_missing: leave out patterns that have a score of this version for their content; default no, but yes in
        a run that an asset triggered
    :param default_collection: used if ``collection`` is empty, also in a run that an asset triggered
    :param postgres_conn_id: connection of the patterns' database
    :param qdrant_conn_id: connection of Qdrant
    :param sync_target: whose task it is
    """

    template_fields: Sequence[str] = (
        "collection",
        "limit",
        "min_confidence",
        "onex_weight",
        "batch_size",
        "delay_seconds",
        "dry_run_only",
        "only_missing",
    )
    ui_color = "#2e8b57"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        collection: str | None = None,
        default_collection: str | None = None,
        limit: int | str | None = None,
        min_confidence: float | str | None = None,
        onex_weight: float | str | None = None,
        batch_size: int | str | None = None,
        delay_seconds: float | str | None = None,
        dry_run_only: bool | str = False,
        only_missing: bool | str | None = None,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
        sync_target: SyncTarget = WITHOUT_NAME,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.default_collection = default_collection
        self.limit = limit
        self.min_confidence = min_confidence
        self.onex_weight = onex_weight
        self.batch_size = batch_size
        self.delay_seconds = delay_seconds
        self.dry_run_only = dry_run_only
        self.only_missing = only_missing
        self.postgres_conn_id = postgres_conn_id
        self.qdrant_conn_id = qdrant_conn_id
        self.sync_target = sync_target
        self._lineage: Callable[[], Lineage] | None = None

    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the backfill and return its counts and averages."""
        with task_errors(context, self.sync_target):
            params = {name: getattr(self, name) for name in self.template_fields} | {"dry_run": self.dry_run_only}
            # All collections of a target are its own one.
            if not is_set(self.collection) or (self.default_collection and self.collection == ALL):
                params["collection"] = self.default_collection
            choices = choose(params, run_type_of(context), read_variable)
            postgres = PatternsPostgresHook(self.postgres_conn_id).config
            qdrant = PatternsQdrantHook(self.qdrant_conn_id).config
            result = self.run_work(backfill(postgres, qdrant, choices, identity_of(context)))
        tell(context, result.summary())
        self._lineage = partial(quality_lineage, postgres, qdrant, result)
        return result.as_xcom()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> "Lineage | None":
        """Return what this task read and wrote, for OpenLineage."""
        return self._lineage() if self._lineage else None
