"""The operator behind both sync DAGs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow.sdk import BaseOperator, Variable

from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.operators.lineage import sync_lineage
from code_patterns.operators.metrics import emit
from code_patterns.operators.task_errors import task_errors
from code_patterns.run_identity import RunIdentity
from code_patterns.sync.runs import sync
from code_patterns.sync.sync_settings import Mode, choose, interval_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from code_patterns.operators.lineage import Lineage


class QdrantUpsertOperator(BaseOperator):
    """Bring a Qdrant collection to what PostgreSQL holds; returns the counts of the run.

    A Param left empty falls back to its Variable, the Variable to the default.

    :param mode: ``incremental`` takes what changed since the last run (and, in a backfill, the rows of the data
        interval); ``full`` compares everything, deletes orphans and proves parity; ``verify`` reads both sides whole
    :param collection: alias or collection; Variable ``patterns_collection``, default ``code_patterns``
    :param batch_size: patterns per batch; Variable ``pattern_sync_batch_size``, default 100
    :param delay_seconds: pause between batches; Variable ``pattern_sync_delay_seconds``, default 0
    :param limit: most rows to look at; empty means all
    :param dry_run_only: dry run: count what would be done, write nothing
    :param allow_mass_delete: let this run delete more than ``pattern_sync_max_delete_fraction`` (default 0.2)
    :param rollback: bring the collection that readers saw before a change of model up to date, and swap it back
    :param heal: write anew what mode ``verify`` finds wrong
    :param id_range: be a shard: write what differs in this range only, ``{"first": id, "last": id}``, and leave the
        rest to the full sync that follows
    :param points_before: how many points there were before shards added theirs
    :param postgres_conn_id: connection of the patterns' database
    :param qdrant_conn_id: connection of Qdrant
    :param embedding_conn_id: connection of the embedding server
    """

    template_fields: Sequence[str] = (
        "collection",
        "batch_size",
        "delay_seconds",
        "limit",
        "dry_run_only",
        "allow_mass_delete",
        "rollback",
        "heal",
        "id_range",
        "points_before",
    )
    ui_color = "#dc244c"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        mode: Mode,
        collection: str | None = None,
        batch_size: int | str | None = None,
        delay_seconds: float | str | None = None,
        limit: int | str | None = None,
        dry_run_only: bool | str = False,
        allow_mass_delete: bool | str = False,
        rollback: bool | str = False,
        heal: bool | str = False,
        id_range: Mapping[str, str] | None = None,
        points_before: int | str | None = None,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
        embedding_conn_id: str = EmbeddingHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mode = mode
        self.collection = collection
        self.batch_size = batch_size
        self.delay_seconds = delay_seconds
        self.limit = limit
        self.dry_run_only = dry_run_only
        self.allow_mass_delete = allow_mass_delete
        self.rollback = rollback
        self.heal = heal
        self.id_range = id_range
        self.points_before = points_before
        self.postgres_conn_id = postgres_conn_id
        self.qdrant_conn_id = qdrant_conn_id
        self.embedding_conn_id = embedding_conn_id
        self._lineage: Callable[[], Lineage] | None = None

    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the sync and return its counts."""
        run, try_number = context["dag_run"], context["ti"].try_number
        with task_errors():
            params = {name: getattr(self, name) for name in self.template_fields} | {"dry_run": self.dry_run_only}
            interval = interval_of(run.run_type, run.data_interval_start, run.data_interval_end, run.run_after)
            postgres = PatternsPostgresHook(self.postgres_conn_id).config
            qdrant = PatternsQdrantHook(self.qdrant_conn_id).config
            result = asyncio.run(
                sync(
                    postgres,
                    qdrant,
                    EmbeddingHook(self.embedding_conn_id).config,
                    choose(self.mode, params, interval, lambda name: Variable.get(name, default=None)),
                    RunIdentity(uuid4(), run.dag_id, run.run_id, try_number),
                )
            )
        if not result.dry_run:
            emit(result)
        self._lineage = partial(sync_lineage, postgres, qdrant, result)
        return result.as_xcom()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> "Lineage | None":
        """Tell OpenLineage what this task has read and written."""
        return self._lineage() if self._lineage else None
