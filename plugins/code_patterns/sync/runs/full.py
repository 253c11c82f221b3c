"""The run over everything: compare both sides, delete orphans, prove parity, let readers see the result."""

import logging
from uuid import UUID

from code_patterns.errors import ParityError
from code_patterns.sync.change_detection import is_difference
from code_patterns.sync.collection import Destination
from code_patterns.sync.diff import PointId
from code_patterns.sync.orphans import Points, refuse_mass_delete
from code_patterns.sync.publication import publish, remember_points
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.source import PAGE_ROWS

log = logging.getLogger(__name__)

MAX_NAMED_DIFFERENCES = 10_000
"""Differences after which the proof stops looking: the sides are then known to disagree."""


class FullRun(RunKind):
    """Brings all of Qdrant to what PostgreSQL holds."""

    name = "full"
    destination = Destination.CONNECTION

    async def execute(self, run: RunContext) -> None:
        """Sync everything.

        :raises ConfigurationError: too many points would be deleted; the rest is done
        :raises ParityError: both sides disagree at the end
        """
        total = await run.source.count_code()
        limit = run.settings.limit
        points = Points()
        await run.apply(run.detector.everything(points, limit), min(total, limit or total))
        if limit is not None and total > limit:
            log.info("The limit of %d was reached: no orphan was deleted, nothing is proven.", limit)
            return
        refuse_mass_delete(points, run.counts.examined, run.collection.description.points, run.settings)
        await delete_orphans(run, points)
        if run.settings.dry_run:
            return
        await _clear_vanished(run)
        if run.counts.unchanged == run.counts.examined and not points.orphans:
            # Nothing was written since both sides were compared: another look would show the same.
            _note_proof(run, points, moving=0)
        else:
            points = await _prove(run)
        run.collection = await remember_points(run.qdrant, run.collection, points.seen)
        await run.move_watermark()
        await _publish(run)


async def delete_orphans(run: RunContext, points: Points) -> None:
    """Delete what was found to be an orphan, and still is one."""
    for ids in points.orphan_batches(run.settings.batch_size):
        # A row may have come since its point was compared; the next run brings it up to date.
        rows = await run.source.rows_by_id(ids)
        orphans = [node_id for node_id in ids if node_id not in rows or rows[node_id].pattern_type != "code"]
        await _delete(run, orphans)
    await _delete(run, points.foreign)


async def _delete(run: RunContext, ids: list[UUID] | list[int]) -> None:
    run.counts.examined += len(ids)
    run.counts.deleted += len(ids)
    if not run.settings.dry_run:
        await run.record.assert_locked()
        await run.target.delete(ids)


async def _clear_vanished(run: RunContext) -> None:
    """Forget dead letters of rows that are gone, or no longer code: there is nothing left to sync."""
    dead_letters = sorted(run.record.dead_letters.ids)
    for start in range(0, len(dead_letters), PAGE_ROWS):
        ids = dead_letters[start : start + PAGE_ROWS]
        rows = await run.source.rows_by_id(ids)
        gone = [node_id for node_id in ids if node_id not in rows or rows[node_id].pattern_type != "code"]
        await run.record.dead_letters.clear(gone)


async def _prove(run: RunContext) -> Points:
    """Compare both sides once more, and fail unless they agree.

    Rows parked as dead letters, and rows that changed while this run was going, are not held against it: the
    first are counted, the second belong to the next run.
    """
    points = Points()
    differing: list[PointId] = []
    async for change in run.detector.everything(points):
        if is_difference(change) and change.id not in run.record.dead_letters.ids:
            differing.append(change.id)
            if len(differing) > MAX_NAMED_DIFFERENCES:
                break
    orphans = [node_id for ids in points.orphan_batches(PAGE_ROWS) for node_id in ids]
    suspects = [node_id for node_id in [*differing, *orphans] if isinstance(node_id, UUID)]
    moving = await run.source.touched_since(run.horizon.xid, suspects) if suspects else set()
    wrong: list[PointId] = [node_id for node_id in [*differing, *orphans] if node_id not in moving]
    wrong += points.foreign
    if wrong:
        run.parity = "broken"
        named = ", ".join(str(node_id) for node_id in wrong[:5])
        raise ParityError(
            f"After the full sync {len(wrong)} patterns still differ between PostgreSQL and "
            f"'{run.settings.collection}' in Qdrant, for example {named}. Does something else write to the "
            "collection? The next full sync repairs what it finds."
        )
    _note_proof(run, points, len(moving))
    return points


def _note_proof(run: RunContext, points: Points, moving: int) -> None:
    run.parity = "proven"
    log.info(
        "Parity proven: ids and hashes of %s points agree with PostgreSQL; %d rows changed meanwhile, %d are "
        "parked as dead letters.",
        f"{points.seen:,}",
        moving,
        len(run.record.dead_letters.ids),
    )


async def _publish(run: RunContext) -> None:
    """Let readers see a collection that was built beside the one they see now."""
    outdated = run.collection.outdated
    if outdated is None:
        return
    run.collection = await publish(run.qdrant, run.collection, rollback=run.settings.rollback)
    if outdated != run.collection.physical:
        run.replaced = outdated
        await run.record.forget(outdated)
