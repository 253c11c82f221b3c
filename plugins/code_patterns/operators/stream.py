"""The operator of the stream."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from code_patterns.operators.dag_run import identity_of
from code_patterns.operators.lineage import sync_lineage
from code_patterns.operators.metrics import counted, emit_stream
from code_patterns.operators.summary import tell
from code_patterns.operators.sync_operator import SyncOperator
from code_patterns.operators.task_errors import task_errors
from code_patterns.sync.runs.stream import stream
from code_patterns.sync.sync_settings import StreamSettings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from code_patterns.operators.lineage import Lineage


class PatternStreamOperator(SyncOperator):
    """Stay up and sync changes as they come; return what was done.

    An empty Param falls back to its Variable, then to the default. The connections are those of
    :class:`~code_patterns.operators.sync_operator.SyncOperator`.

    :param linger_seconds: end when nothing has changed for so long; Variable ``pattern_stream_linger_seconds``
    :param max_minutes: end after that time; Variable ``pattern_stream_max_minutes``
    :param poll_milliseconds: how often to look; Variable ``pattern_stream_poll_milliseconds``
    :param batch_size: patterns per batch; Variable ``pattern_sync_batch_size``
    """

    template_fields: Sequence[str] = ("collection", "linger_seconds", "max_minutes", "poll_milliseconds", "batch_size")
    ui_color = "#dc244c"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        linger_seconds: float | str | None = None,
        max_minutes: float | str | None = None,
        poll_milliseconds: int | str | None = None,
        batch_size: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.linger_seconds = linger_seconds
        self.max_minutes = max_minutes
        self.poll_milliseconds = poll_milliseconds
        self.batch_size = batch_size
        self._lineage: Callable[[], Lineage] | None = None

    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the stream and return its counts, its latency and why it ended."""
        target = self.sync_target.name
        with task_errors(context, self.sync_target), counted("stream", target) as run:
            choices = self.choices(StreamSettings, "stream")
            run.collection = choices.collection
            servers = self.servers()
            told = partial(emit_stream, target=target)
            work = stream(*servers, choices, identity_of(context), told, self.events())
            result = self.run_work(work)
            self._lineage = partial(sync_lineage, *servers[:2], result)
        tell(context, result.summary())
        return result.as_xcom()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> "Lineage | None":
        """Return what this task read and wrote, for OpenLineage."""
        return self._lineage() if self._lineage else None
