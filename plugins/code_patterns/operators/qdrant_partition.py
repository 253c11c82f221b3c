"""The operator that cuts a full sync into id ranges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from code_patterns.operators.sync_operator import SyncOperator
from code_patterns.operators.task_errors import task_errors
from code_patterns.sync.partition import partition
from code_patterns.sync.sync_settings import SyncSettings

if TYPE_CHECKING:
    from airflow.sdk import Context


class QdrantPartitionOperator(SyncOperator):
    """Cut the writing of a full sync into id ranges; return them as ``{"first": id, "last": id}``, both included.

    The list is empty if one task is better, and in a dry run, with a limit, and with ``rollback``; tasks mapped over it
    are then skipped. It pushes the number of points before any shard as XCom ``points``, for ``points_before`` of
    :class:`~code_patterns.operators.qdrant_upsert.QdrantUpsertOperator`. The other parameters are those of
    :class:`~code_patterns.operators.sync_operator.SyncOperator`.

    :param shards: number of shards; empty decides by the work, 1 means none
    """

    template_fields: Sequence[str] = (*SyncOperator.template_fields, "shards")
    ui_color = "#f3a6b4"

    def __init__(self, *, shards: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shards = shards

    def execute(self, context: "Context") -> list[dict[str, str]]:
        """Look at both sides and return the id ranges."""
        with task_errors(context, self.sync_target):
            choices = self.choices(SyncSettings, "full")
            found = self.run_work(partition(*self.servers(), choices))
        context["ti"].xcom_push("points", found.points)
        return [{"first": str(ids.first), "last": str(ids.last)} for ids in found.ranges]
