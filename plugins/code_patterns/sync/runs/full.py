"""The full sync: compare everything, delete orphans, prove parity, let readers see the result."""

import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import ClassVar
from uuid import UUID

from code_patterns.codes import Code
from code_patterns.errors import ParityError
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.collection import Destination, read_stored
from code_patterns.sync.collection_options import bring_up
from code_patterns.sync.curated import carry_over
from code_patterns.sync.deferral import QUIET_SECONDS, defer, is_loading, resume, until_indexed
from code_patterns.sync.diff import ALL_IDS, Action, Change, Fingerprint, IdRange
from code_patterns.sync.expectation import expecting
from code_patterns.sync.orphans import Points, refuse_lost_table, refuse_mass_delete
from code_patterns.sync.proof import Proof
from code_patterns.sync.proof_levels import HashLevel
from code_patterns.sync.proof_session import ProofSession
from code_patterns.sync.publication import publish, remember_proof
from code_patterns.sync.runs.context import BEGINNING, RunContext
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.snapshot import Snapshot, Span
from code_patterns.sync.source import PAGE_ROWS

log = logging.getLogger(__name__)

DRY = "This was a dry run: nothing was written."
SYNCED = "New and changed patterns were synced, nothing was deleted."
"""What a run that refuses a mass deletion has done."""


class FullRun(RunKind):
    """Compares everything and makes Qdrant agree with PostgreSQL.

    :cvar expects_recorded_deletions: whether deletions that triggers recorded are no reason to refuse a mass delete
    """

    name = "full"
    destination = Destination.CONNECTION
    reconciles = True
    expects_recorded_deletions: ClassVar[bool] = False

    async def execute(self, run: RunContext) -> None:
        """Sync everything.

        :raises ConfigurationError: too many points would be deleted; everything else is done
        :raises ParityError: both sides disagree at the end
        """
        if run.settings.points_before is not None and not run.settings.dry_run:
            # Shards have written, and leave the token to this run.
            await run.pairing.begin()
        run.collection = await bring_up(run.qdrant, run.collection, dry_run=run.settings.dry_run)
        limit = run.settings.limit
        # The proof comes first, because there may be nothing else to do; it stops at the first difference.
        looks_first = limit is None and not run.settings.dry_run and not run.record.dead_letters.ids
        agreed = await _agreed(run) if looks_first else None
        if agreed is not None:
            run.counts.examined = run.counts.unchanged = agreed
            waited = await _index(run)
            await _conclude(run, *(await _prove(run) if waited else (agreed, agreed)))
            return
        total = await run.source.count_code()
        await defer_indexing(run, total)
        points = Points()
        if limit is None and not run.settings.dry_run:
            await compare_and_write(run, points, total)
        else:
            changes = run.detector.everything(points, limit, synced=run.synced)
            await run.pipeline.run(changes, min(total, limit or total))
        if limit is not None and total > limit:
            log.info("The limit of %d was reached: no orphan was deleted, nothing is proven.", limit)
            return
        await _index(run)
        expected = await _recorded(run, points) if self.expects_recorded_deletions else 0
        refuse_mass_delete(
            points,
            run.counts.examined,
            run.collection.description.points,
            run.settings,
            done=DRY if run.settings.dry_run else SYNCED,
            expected=expected,
        )
        await delete_orphans(run, points)
        if run.settings.dry_run:
            return
        await _repeat_deletions(run)
        await _clear_vanished(run)
        await _conclude(run, *await _prove(run))


async def compare_and_write(run: RunContext, points: Points, total: int, within: IdRange | None = None) -> None:
    """Write what differs in an id range, and learn meanwhile which digests a proof must find there.

    :param points: collects the orphans
    :param total: number of patterns
    :param within: the range; ``None`` for all points, also those whose id is an integer
    """
    digests = await run.record.digests(run.collection)
    ids = within or ALL_IDS
    learning: AbstractAsyncContextManager[None] = nullcontext()
    if not digests.knows(ids):
        session = await run.proof_session()
        learning = expecting(session, run.collection, digests, ids, lambda: run.counts.examined)
    async with learning:
        # Shards have tried what changed before this run does, and count too.
        synced = run.synced if run.settings.points_before is None else None
        await run.pipeline.run(run.detector.everything(points, within=within, synced=synced), total)
    await run.record.keep(digests)


async def defer_indexing(run: RunContext, total: int) -> None:
    """Let Qdrant build no index while a run, or the shards after it, write the first load.

    :param total: number of patterns
    """
    if run.settings.limit is None and not run.settings.dry_run and is_loading(run.qdrant, run.collection):
        await run.record.assert_locked()
        run.collection = await defer(run.qdrant, run.collection, total, await run.stored.count())


async def _recorded(run: RunContext, points: Points) -> int:
    """How many orphans are points of rows whose deletion was recorded."""
    return sum([await run.source.count_recorded_deletions(ids) for ids in points.orphan_batches(PAGE_ROWS)])


async def delete_orphans(run: RunContext, points: Points) -> None:
    """Delete orphans that are still orphans."""
    for ids in points.orphan_batches(run.settings.batch_size):
        # A row may have been inserted since its point was compared; the next run syncs it.
        await _delete(run, await _without_pattern(run, ids))
    for start in range(0, len(points.foreign), run.settings.batch_size):
        await _delete(run, points.foreign[start : start + run.settings.batch_size])


async def _repeat_deletions(run: RunContext) -> None:
    """Delete once more what was deleted in PostgreSQL, if an earlier deletion has not reached every replica.

    A point that is on some replicas only is no orphan that a comparison finds.
    """
    if await run.stored.replicas_agree():
        return
    log.warning(
        "The replicas of '%s' hold different numbers of points. Deleting once more what was deleted in PostgreSQL.",
        run.collection.physical,
    )
    await run.before_write()
    async for tombstones in run.source.tombstone_pages(Span(BEGINNING, run.horizon.snapshot)):
        await run.target.delete(await _without_pattern(run, [tombstone.id for tombstone in tombstones]))


async def _without_pattern(run: RunContext, ids: list[UUID]) -> list[UUID]:
    """Which of these ids have no code pattern now."""
    rows = await run.source.rows_by_id(ids)
    return [node_id for node_id in ids if node_id not in rows or rows[node_id].pattern_type != "code"]


async def refuse_lost_tables(run: RunContext) -> None:
    """Stop if both sides are empty although there were points; see :func:`refuse_lost_table`."""
    before = run.collection.description.points
    if run.collection.outdated and not before:
        before = (await read_stored(run.qdrant, run.collection.outdated)).description.points
    refuse_lost_table(run.settings.collection, before, run.settings)
    log.warning("PostgreSQL holds no code pattern and Qdrant no point: there is nothing to prove.")


async def _delete(run: RunContext, ids: list[UUID] | list[int]) -> None:
    run.counts.examined += len(ids)
    run.counts.deleted += len(ids)
    if ids and not run.settings.dry_run:
        await run.before_write()
        deletions = [Change(node_id, Action.DELETE) for node_id in ids if isinstance(node_id, UUID)]
        await run.record.intend(deletions)
        await run.target.delete(ids)
        await run.record.settle(deletions)


async def _clear_vanished(run: RunContext) -> None:
    """Delete dead letters of rows that are gone or no longer code: there is nothing to sync."""
    dead_letters = sorted(run.record.dead_letters.ids)
    for start in range(0, len(dead_letters), PAGE_ROWS):
        ids = dead_letters[start : start + PAGE_ROWS]
        await run.record.dead_letters.clear(await _without_pattern(run, ids))


async def _index(run: RunContext) -> bool:
    """Let Qdrant build the index that was deferred; wait for it if readers are about to see the collection.

    :return: whether that took time, in which rows may have changed
    """
    if run.settings.dry_run:
        return False
    await run.record.assert_locked()
    deferred = run.collection.description.deferred is not None
    run.collection = await resume(run.qdrant, run.collection)
    if run.collection.outdated in (None, run.collection.physical):
        return False
    quiet_seconds = QUIET_SECONDS if deferred else 0.0
    return await until_indexed(run.qdrant, run.collection.physical, run.record.assert_locked, quiet_seconds)


async def _agreed(run: RunContext) -> int | None:
    proof = await _proof(run, await run.proof_session())
    with run.stages.measured("prove") as note:
        agreed = await proof.agreed()
        note(patterns=agreed or 0)
    return agreed


async def _prove(run: RunContext) -> tuple[int, int]:
    """Catch up with what changed during this run, then prove everything below that horizon.

    :return: number of patterns and number of points
    :raises ParityError: both sides disagree
    """
    session = await run.proof_session()
    meanwhile = Span(run.horizon.watermark, Snapshot.before(session.horizon))
    if total := await run.source.count_changed(meanwhile):
        log.info("Catching up with about %s rows that changed during this run.", f"{total:,}")
    await run.pipeline.run(run.detector.since(meanwhile, moves=False), total)
    proof = await _proof(run, session)
    with run.stages.measured("prove") as note:
        found = await proof.findings(session.horizon)
        note(patterns=found.patterns, wrong=found.wrong)
    if found.wrong:
        run.parity = "broken"
        await run.record.owe_comparison()
        raise ParityError(
            Code.NOT_EQUAL_AFTER_SYNC,
            f"After the full sync {found.wrong} patterns still differ between PostgreSQL and "
            f"'{run.settings.collection}' in Qdrant, for example {found.examples(5)}. Does something else write to the "
            "collection? The next run compares everything and repairs what it finds.",
        )
    return found.patterns, found.points


async def _proof(run: RunContext, session: ProofSession) -> Proof[Fingerprint]:
    points = AgreedPoints(run.qdrant, run.collection, strict=True)
    return Proof(session, points, HashLevel(points), await run.record.digests(run.collection), run.record.keep)


async def _conclude(run: RunContext, patterns: int, points: int) -> None:
    """Log and store what is proven, and let readers see it."""
    if patterns:
        run.parity = "proven"
        log.info(
            "Parity proven: ids and hashes of %s patterns agree with PostgreSQL; %s parked.",
            f"{patterns:,}",
            f"{len(run.record.dead_letters.ids):,}",
        )
    else:
        await refuse_lost_tables(run)
    run.collection = await remember_proof(run.qdrant, run.collection, points)
    await run.move_watermark()
    await _publish(run)


async def _publish(run: RunContext) -> None:
    """Let readers see a collection that was built beside their present one."""
    outdated = run.collection.outdated
    if outdated is None:
        return
    if outdated != run.collection.physical:
        await carry_over(run.qdrant, outdated, run.collection.physical)
    run.collection = await publish(
        run.qdrant, run.collection, rollback=run.settings.rollback, dag_run=run.identity.dag_run
    )
    if outdated != run.collection.physical:
        run.replaced = outdated
        stored = await read_stored(run.qdrant, outdated)
        if stored.description.identity:
            await run.record.forget(outdated, stored.description.identity)
