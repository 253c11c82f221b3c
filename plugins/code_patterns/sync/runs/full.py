"""The run over everything: compare both sides, delete orphans, prove parity, let readers see the result."""

import logging
from uuid import UUID

from code_patterns.errors import ParityError
from code_patterns.sync.change_detection import is_difference
from code_patterns.sync.collection import publish, remember_points
from code_patterns.sync.diff import PointId
from code_patterns.sync.orphans import Points, refuse_mass_delete
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.source import PAGE_ROWS, Horizon
from code_patterns.sync.sync_result import Progress

log = logging.getLogger(__name__)

MAX_NAMED_DIFFERENCES = 10_000
"""Differences after which the proof stops looking: the sides are then known to disagree."""


async def sync_everything(run: RunContext, horizon: Horizon) -> None:
    """Bring all of Qdrant to what PostgreSQL holds.

    :raises ConfigurationError: too many points would be deleted; the rest is done
    :raises ParityError: both sides disagree at the end
    """
    total = await run.source.count_code()
    limit = run.settings.limit
    points = Points()
    changes = run.detector.everything(points, limit)
    await run.pipeline(horizon).run(changes, Progress(min(total, limit or total)))
    if limit is not None and total > limit:
        log.info("The limit of %d was reached: no orphan was deleted, nothing is proven.", limit)
        return
    proven = run.target.collection.description.points
    refuse_mass_delete(points, run.counts.examined, proven, run.settings)
    await delete_orphans(run, points)
    if run.settings.dry_run:
        return
    await _recover_vanished(run)
    if run.counts.unchanged == run.counts.examined and not points.orphans:
        # Nothing was written since both sides were compared: another look would show the same.
        _note_proof(run, points, moving=0)
    else:
        points = await _prove(run, horizon)
    run.target.collection = await remember_points(run.qdrant, run.target.collection, points.seen)
    await run.move_watermark(horizon)
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
        await run.state.assert_locked()
        await run.target.delete(ids)


async def _recover_vanished(run: RunContext) -> None:
    """Forget dead_letters of rows that are gone, or no longer code: there is nothing left to sync."""
    failed = sorted(run.state.dead_letter_ids)
    for start in range(0, len(failed), PAGE_ROWS):
        ids = failed[start : start + PAGE_ROWS]
        rows = await run.source.rows_by_id(ids)
        gone = [node_id for node_id in ids if node_id not in rows or rows[node_id].pattern_type != "code"]
        await run.state.clear_dead_letters(gone)


async def _prove(run: RunContext, horizon: Horizon) -> Points:
    """Compare both sides once more, and fail unless they agree.

    Rows parked as dead letters, and rows that changed while this run was going, are not held against it: the
    first are counted, the second belong to the next run.
    """
    points = Points()
    differing: list[PointId] = []
    async for change in run.detector.everything(points):
        if is_difference(change) and change.id not in run.state.dead_letter_ids:
            differing.append(change.id)
            if len(differing) > MAX_NAMED_DIFFERENCES:
                break
    orphans = [node_id for ids in points.orphan_batches(PAGE_ROWS) for node_id in ids]
    suspects = [node_id for node_id in [*differing, *orphans] if isinstance(node_id, UUID)]
    moving = await run.source.touched_since(horizon.xid, suspects) if suspects else set()
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
        len(run.state.dead_letter_ids),
    )


async def _publish(run: RunContext) -> None:
    """Let readers see a collection that was built beside the one they see now."""
    outdated = run.target.collection.outdated
    if outdated is None:
        return
    run.target.collection = await publish(run.qdrant, run.target.collection, rollback=run.settings.rollback)
    if outdated != run.target.collection.physical:
        run.replaced = outdated
        await run.state.forget(outdated)
