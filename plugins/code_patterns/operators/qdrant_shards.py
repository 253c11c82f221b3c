"""The operator that cuts a full sync into shards."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Variable

from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.operators.task_errors import task_errors
from code_patterns.sync.runs.shards import partition
from code_patterns.sync.sync_settings import choose

if TYPE_CHECKING:
    from airflow.sdk import Context


class QdrantShardsOperator(BaseOperator):
    """Cut the writing of a full sync into id ranges; returns them as ``{"first": id, "last": id}``, both included.

    The list is empty where one task does better, so that tasks mapped over it are skipped. Pushes the XCom ``points``,
    how many points there were before any shard, for ``points_before`` of
    :class:`~code_patterns.operators.qdrant_upsert.QdrantUpsertOperator`.

    :param shards: how many; empty decides by the work there is, 1 means none
    :param collection: alias or collection; Variable ``patterns_collection``, default ``code_patterns``
    :param limit: most rows to look at; a limited run is not cut
    :param dry_run_only: a dry run is not cut
    :param rollback: nor is one that goes back to an earlier collection
    :param postgres_conn_id: connection of the patterns' database
    :param qdrant_conn_id: connection of Qdrant
    :param embedding_conn_id: connection of the embedding server
    """

    template_fields: Sequence[str] = ("shards", "collection", "limit", "dry_run_only", "rollback")
    ui_color = "#f3a6b4"

    def __init__(
        self,
        *,
        shards: int | str | None = None,
        collection: str | None = None,
        limit: int | str | None = None,
        dry_run_only: bool | str = False,
        rollback: bool | str = False,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
        embedding_conn_id: str = EmbeddingHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shards = shards
        self.collection = collection
        self.limit = limit
        self.dry_run_only = dry_run_only
        self.rollback = rollback
        self.postgres_conn_id = postgres_conn_id
        self.qdrant_conn_id = qdrant_conn_id
        self.embedding_conn_id = embedding_conn_id

    def execute(self, context: "Context") -> list[dict[str, str]]:
        """Look at both sides and return the id ranges."""
        with task_errors():
            params = {name: getattr(self, name) for name in self.template_fields} | {"dry_run": self.dry_run_only}
            plan = asyncio.run(
                partition(
                    PatternsPostgresHook(self.postgres_conn_id).config,
                    PatternsQdrantHook(self.qdrant_conn_id).config,
                    EmbeddingHook(self.embedding_conn_id).config,
                    choose("full", params, None, lambda name: Variable.get(name, default=None)),
                )
            )
        context["ti"].xcom_push("points", plan.points)
        return [{"first": str(ids.first), "last": str(ids.last)} for ids in plan.ranges]
