"""The operator of the sync DAGs."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from code_patterns.operators.dag_run import identity_of, run_type_of
from code_patterns.operators.lineage import sync_lineage
from code_patterns.operators.metrics import counted, emit, emit_work
from code_patterns.operators.summary import tell
from code_patterns.operators.sync_operator import SyncOperator
from code_patterns.operators.task_errors import task_errors
from code_patterns.sync.interval_params import choose_interval
from code_patterns.sync.runs import sync
from code_patterns.sync.sync_settings import HOURLY, Interval, SyncSettings, interval_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from code_patterns.operators.lineage import Lineage


class QdrantUpsertOperator(SyncOperator):
    """Sync a Qdrant collection with PostgreSQL; return the counts of the run.

    The other parameters are those of :class:`~code_patterns.operators.sync_operator.SyncOperator`.

    :param mode: ``incremental`` takes what changed since the last run, or the rows of an interval: that of the Params,
        or in a backfill the data interval; ``full`` compares everything, deletes orphans and proves parity; ``verify``
        compares whole points
    :param batch_size: patterns per batch; Variable ``pattern_sync_batch_size``, default 100
    :param delay_seconds: pause between batches; Variable ``pattern_sync_delay_seconds``, default 0
    :param allow_mass_delete: let this run delete more than ``pattern_sync_max_delete_fraction`` (default 0.2)
    :param interval_start: begin of an interval to sync instead, such as ``2026-03-01T14:00:00Z``
    :param interval_end: its end, excluded
    :param retry_dead_letters: try all dead letters now, also those that have not waited long enough
    :param heal: write again what mode ``verify`` finds wrong
    :param nights: in how many nights mode ``verify`` reads every point whole once; Variable ``pattern_verify_nights``,
        default 1
    :param id_range: be a shard: write what differs in this range only, ``{"first": id, "last": id}``, and leave the
        rest to the full sync that follows
    :param points_before: number of points before shards
    :param cron: schedule of the DAG in UTC: a manual run for another span of it is for that span
    """

    template_fields: Sequence[str] = (
        *SyncOperator.template_fields,
        "batch_size",
        "delay_seconds",
        "allow_mass_delete",
        "interval_start",
        "interval_end",
        "retry_dead_letters",
        "heal",
        "nights",
        "id_range",
        "points_before",
    )
    ui_color = "#dc244c"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        mode: str,
        batch_size: int | str | None = None,
        delay_seconds: float | str | None = None,
        allow_mass_delete: bool | str = False,
        interval_start: str | None = None,
        interval_end: str | None = None,
        retry_dead_letters: bool | str = False,
        heal: bool | str = False,
        nights: int | str | None = None,
        id_range: Mapping[str, str] | None = None,
        points_before: int | str | None = None,
        cron: str | None = HOURLY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mode = mode
        self.batch_size = batch_size
        self.delay_seconds = delay_seconds
        self.allow_mass_delete = allow_mass_delete
        self.interval_start = interval_start
        self.interval_end = interval_end
        self.retry_dead_letters = retry_dead_letters
        self.heal = heal
        self.nights = nights
        self.id_range = id_range
        self.points_before = points_before
        self.cron = cron
        self._lineage: Callable[[], Lineage] | None = None

    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the sync and return its counts."""
        target = self.sync_target.name
        with task_errors(context, self.sync_target), counted(self.mode, target) as run:
            choices = self.choices(SyncSettings, self.mode, self._interval(context))
            run.collection, run.dry_run = choices.collection, choices.dry_run
            servers = self.servers()
            told = partial(emit_work, target=target)
            work = sync(*servers, choices, identity_of(context), self.events(), told)
            result = self.run_work(work)
            run.kind = result.kind
        tell(context, result.summary())
        if not result.dry_run:
            emit(result, target)
        self._lineage = partial(sync_lineage, *servers[:2], result)
        return result.as_xcom()

    def _interval(self, context: "Context") -> Interval | None:
        run, run_type = context["dag_run"], run_type_of(context)
        own = interval_of(run_type, run.data_interval_start, run.data_interval_end, run.run_after, self.cron or HOURLY)
        chosen = {"interval_start": self.interval_start, "interval_end": self.interval_end}
        return choose_interval(chosen, run_type, own)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> "Lineage | None":
        """Return what this task read and wrote, for OpenLineage."""
        return self._lineage() if self._lineage else None
