"""The runs over some rows: those that changed since the last run, or those of a span of time."""

import logging

from code_patterns.sync.diff import Watermark
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.source import Horizon
from code_patterns.sync.sync_result import Progress
from code_patterns.sync.sync_settings import Interval

log = logging.getLogger(__name__)

OLD_TRANSACTION_SECONDS = 300.0
"""An open transaction older than this is named in the log, because it holds changes back."""


async def sync_changes(run: RunContext, watermark: Watermark, horizon: Horizon) -> None:
    """Take what changed after the watermark and before the horizon, and move the watermark."""
    await _name_old_transaction(run)
    total = await run.source.count_changed(watermark, horizon)
    limit = run.settings.limit
    changes = run.detector.since(watermark, horizon, run.state.dead_letter_ids, limit)
    await run.pipeline(horizon).run(changes, Progress(min(total, limit or total)))
    if limit is None or total <= limit:
        await run.move_watermark(horizon)
    else:
        log.info(
            "The limit of %d was reached; about %d changed rows are left to the next run.",
            limit,
            total - limit,
        )


async def sync_interval(run: RunContext, interval: Interval, horizon: Horizon) -> None:
    """Compare the rows created or updated in a span of time; the watermark stays where it is."""
    log.info("Re-syncing the rows created or updated from %s to %s.", interval.start, interval.end)
    total = await run.source.count_interval(interval.start, interval.end)
    changes = run.detector.within(interval, run.settings.limit)
    await run.pipeline(horizon).run(changes, Progress(min(total, run.settings.limit or total)))


async def _name_old_transaction(run: RunContext) -> None:
    oldest = await run.source.oldest_transaction()
    if oldest and oldest.age_seconds > OLD_TRANSACTION_SECONDS:
        log.warning(
            "A transaction of pid %d (%s) has been open for %.0f s: changes made since it began wait for its end.",
            oldest.pid,
            oldest.application,
            oldest.age_seconds,
        )
