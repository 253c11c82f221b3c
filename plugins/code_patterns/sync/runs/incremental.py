"""The incremental sync: what changed since the last run."""

import logging

from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.full import FullRun
from code_patterns.sync.runs.kind import RunKind

log = logging.getLogger(__name__)

OLD_TRANSACTION_SECONDS = 300.0
"""The log names an open transaction that is older than this: it holds changes back."""


class ComparingRun(FullRun):
    """Takes the place of an incremental run that has no watermark to start from.

    An incremental run deletes whatever was deleted in PostgreSQL, however much that is. This one does so too: that an
    earlier run was killed is no reason to wait for a person.
    """

    expects_recorded_deletions = True


class IncrementalRun(RunKind):
    """Takes what changed after the watermark and before the horizon, and moves the watermark."""

    name = "incremental"
    starts_at_watermark = True
    relies_on_capture = True
    fallback = ComparingRun

    async def execute(self, run: RunContext) -> None:
        """Sync the changes."""
        await _name_old_transaction(run)
        span = run.horizon.since(run.start)
        total = await run.source.count_changed(span)
        limit = run.settings.limit
        parked = run.record.dead_letters
        retried = parked.ids if run.settings.retry_dead_letters else parked.due
        changes = run.detector.since(span, dead_letters=retried, limit=limit)
        await run.pipeline.run(changes, min(total, limit or total))
        if not run.settings.dry_run and await run.source.tombstones_pruned_beyond(run.start):
            # They were there when the run was opened. Its rows may have moved the watermark beyond them.
            await run.record.owe_comparison()
            log.warning("Deletions were forgotten while this run read them. The next run compares everything.")
        elif limit is None or total <= limit:
            await run.move_watermark()
        else:
            log.info(
                "The limit of %d was reached; about %d changed rows are left to the next run.",
                limit,
                total - limit,
            )
        # What lies behind an open transaction is visible, and waits all the same.
        run.left = await run.record.behind()


async def _name_old_transaction(run: RunContext) -> None:
    oldest = await run.source.oldest_transaction()
    if oldest and oldest.age_seconds > OLD_TRANSACTION_SECONDS:
        log.warning("%s", oldest.told)
