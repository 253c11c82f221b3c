"""The sync of a span of time, as in a backfill."""

import logging

from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.sync_settings import Interval

log = logging.getLogger(__name__)


class IntervalRun(RunKind):
    """Syncs the rows created or updated in a span of time; does not move the watermark.

    :param interval: the span
    """

    name = "interval"

    def __init__(self, interval: Interval) -> None:
        self._interval = interval

    async def execute(self, run: RunContext) -> None:
        """Sync the rows of the span."""
        start, end = self._interval.start, self._interval.end
        log.info("Syncing the rows created or updated from %s to %s.", start, end)
        total = await run.source.count_interval(start, end)
        changes = run.detector.within(self._interval, run.settings.limit)
        await run.pipeline.run(changes, min(total, run.settings.limit or total))
