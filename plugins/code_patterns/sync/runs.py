"""The kinds of run: what changed since the last one, everything, the rows of a span of time, or verification."""

import contextlib
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import UUID

from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import Embedder, EmbeddingConfig
from code_patterns.errors import ConfigurationError, NothingToDoError, ParityError, PatternsError
from code_patterns.postgres import PostgresConfig
from code_patterns.qdrant import Qdrant, QdrantConfig
from code_patterns.sync.changes import ChangeReader, is_difference
from code_patterns.sync.collection import Collection, Destination, confirm, prepare, publish, resolve
from code_patterns.sync.embed import DistinctEmbedder
from code_patterns.sync.orphans import Points, refuse_mass_delete
from code_patterns.sync.pattern import recipe_of
from code_patterns.sync.pipeline import Pipeline, PipelineSettings
from code_patterns.sync.plan import PointId, Watermark
from code_patterns.sync.report import Counts, Kind, Parity, Progress, SyncResult
from code_patterns.sync.settings import Interval, SyncSettings
from code_patterns.sync.source import PAGE_ROWS, Horizon, PatternSource
from code_patterns.sync.state import RunIdentity, SyncState
from code_patterns.sync.target import PatternTarget
from code_patterns.sync.verify import Difference, Flaw, verify, wrong_points

log = logging.getLogger(__name__)

OLD_TRANSACTION_SECONDS = 300.0
"""An open transaction older than this is named in the log, because it holds changes back."""
MAX_NAMED_DIFFERENCES = 10_000
"""Differences after which the proof stops looking: the sides are then known to disagree."""
READ_AHEAD_BATCHES = 2
"""Batches in flight beyond what the embedding server takes at once, so that it never waits for a write."""


class _CollectionMovedError(Exception):
    """While a run waited for its turn, the name came to mean another collection."""


async def sync(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    settings: SyncSettings,
    identity: RunIdentity,
) -> SyncResult:
    """Bring Qdrant to what PostgreSQL holds.

    Everything that can be wrong with the three servers is found out before anything is written.

    :param postgres: where the patterns are
    :param qdrant: where the points go
    :param embedding: how texts become vectors
    :param settings: what the person chose
    :param identity: which run this is, for the history
    :raises ConfigurationError: when a person must change something first
    :raises OutageError: when a server went away; the next try goes on where this one stopped
    :raises ParityError: when both sides disagree at the end of a full sync
    """
    while True:
        try:
            return await _sync(postgres, qdrant, embedding, settings, identity)
        except _CollectionMovedError:
            log.info("'%s' came to mean another collection meanwhile; starting again.", settings.collection)


async def _sync(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    settings: SyncSettings,
    identity: RunIdentity,
) -> SyncResult:
    if settings.rollback:
        destination = Destination.PREVIOUS
    elif settings.mode == "full":
        destination = Destination.CONNECTION
    else:
        destination = Destination.PUBLISHED
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(PatternSource.open(postgres))
        opened = await stack.enter_async_context(Qdrant.open(qdrant))
        collection = await resolve(opened, settings.collection, embedding, destination)
        embedder = open_embedder(collection.embedding)
        stack.push_async_callback(embedder.aclose)
        await _check(embedder, collection, embedding)
        state = await stack.enter_async_context(SyncState.open(postgres))
        if settings.dry_run:
            await state.look_at(collection.physical)
        else:
            await state.lock(collection.physical)
            physical = collection.physical
            collection = await resolve(opened, settings.collection, embedding, destination)
            if collection.physical != physical:
                raise _CollectionMovedError
        return await SyncRun(source, opened, collection, embedder, state, settings, identity).execute()


async def _check(embedder: Embedder, collection: Collection, connection: EmbeddingConfig) -> None:
    """Prove that the embedding server works; see :meth:`~code_patterns.embeddings.base.Embedder.check`."""
    try:
        await embedder.check()
    except ConfigurationError as error:
        if collection.recipe == recipe_of(connection):
            raise
        raise ConfigurationError(
            f"{error} Readers of '{collection.name}' still see '{collection.physical}', made with the model "
            f"'{collection.embedding.model}': until pattern_sync_full has built the new collection, changes reach them "
            "only while that model is served too. Nothing is lost: the next run takes all that was missed."
        ) from None


class SyncRun:
    """One run; see :func:`sync`, which opens what it needs."""

    def __init__(
        self,
        source: PatternSource,
        qdrant: Qdrant,
        collection: Collection,
        embedder: Embedder,
        state: SyncState,
        settings: SyncSettings,
        identity: RunIdentity,
    ) -> None:
        self._source = source
        self._qdrant = qdrant
        self._target = PatternTarget(qdrant, collection)
        self._embedder = embedder
        self._state = state
        self._settings = settings
        self._identity = identity
        self._reader = ChangeReader(source, self._target)
        self._counts = Counts()
        self._kind: Kind = "interval" if settings.interval else settings.mode
        self._parity: Parity = "not proven"
        self._watermark: Watermark | None = None
        self._replaced: str | None = None

    async def execute(self) -> SyncResult:
        """Run, and leave a row in the history whatever happens (a dry run leaves none)."""
        started = time.monotonic()
        horizon = await self._source.horizon()
        if self._settings.dry_run:
            await self._dispatch(horizon)
        else:
            try:
                await self._dispatch(horizon)
                await confirm(self._qdrant, self._target.collection)
            except BaseException as error:
                # The error itself is what the person must see, not that the history could not be written.
                with contextlib.suppress(PatternsError):
                    await self._close_history("failed", error)
                raise
            await self._close_history("succeeded", None)
        result = SyncResult(
            run_id=None if self._settings.dry_run else self._identity.id,
            kind=self._kind,
            collection=self._settings.collection,
            dry_run=self._settings.dry_run,
            counts=self._counts.as_dict(),
            seconds=time.monotonic() - started,
            parity=self._parity,
            open_failures=len(self._state.failed_ids),
            lag_seconds=await self._source.lag_seconds(horizon),
            watermark_xid=self._watermark.xid if self._watermark else None,
        )
        log.info(result.table())
        if result.open_failures:
            log.warning(
                "%d patterns are parked as failed and not (or not newly) in Qdrant; see the table "
                "pattern_sync_failures for each one's error. Every later run tries them again.",
                result.open_failures,
            )
        return result

    async def _dispatch(self, horizon: Horizon) -> None:
        if self._kind == "verify":
            await self._verify(horizon)
            return
        if not self._settings.dry_run:
            self._target.collection = await prepare(self._qdrant, self._target.collection)
        if self._settings.interval:
            await self._open_history(None)
            await self._sync_interval(self._settings.interval, horizon)
        elif self._kind == "full":
            await self._open_history(None)
            await self._sync_everything(horizon)
        else:
            watermark = await self._state.watermark(self._target.collection.identity, horizon)
            if isinstance(watermark, Watermark):
                await self._open_history(watermark)
                await self._sync_changes(watermark, horizon)
            else:
                log.info("There is no watermark to start from: %s. Comparing everything.", watermark)
                self._kind = "full"
                await self._open_history(None)
                await self._sync_everything(horizon)

    async def _sync_changes(self, watermark: Watermark, horizon: Horizon) -> None:
        await self._name_old_transaction()
        total = await self._source.count_changed(watermark, horizon)
        limit = self._settings.limit
        changes = self._reader.since(watermark, horizon, self._state.failed_ids, limit)
        await self._pipeline(horizon).run(changes, Progress(min(total, limit or total)))
        if limit is None or total <= limit:
            await self._move_watermark(horizon)
        else:
            log.info(
                "The limit of %d was reached; about %d changed rows are left to the next run.",
                limit,
                total - limit,
            )

    async def _sync_interval(self, interval: Interval, horizon: Horizon) -> None:
        log.info("Re-syncing the rows created or updated from %s to %s.", interval.start, interval.end)
        total = await self._source.count_interval(interval.start, interval.end)
        changes = self._reader.within(interval, self._settings.limit)
        await self._pipeline(horizon).run(changes, Progress(min(total, self._settings.limit or total)))

    async def _sync_everything(self, horizon: Horizon) -> None:
        total = await self._source.count_code()
        limit = self._settings.limit
        points = Points()
        changes = self._reader.everything(points, limit)
        await self._pipeline(horizon).run(changes, Progress(min(total, limit or total)))
        if limit is not None and total > limit:
            log.info("The limit of %d was reached: no orphan was deleted, nothing is proven.", limit)
            return
        refuse_mass_delete(points, self._counts.examined, self._settings)
        await self._delete_orphans(points)
        if self._settings.dry_run:
            return
        await self._recover_vanished()
        if self._counts.unchanged == self._counts.examined and not points.orphans:
            # Nothing was written since both sides were compared: another look would show the same.
            self._note_proof(points, moving=0)
        else:
            await self._prove(horizon)
        await self._move_watermark(horizon)
        await self._publish()

    async def _delete_orphans(self, points: Points) -> None:
        for ids in points.orphan_batches(self._settings.batch_size):
            # A row may have come since its point was compared; the next run brings it up to date.
            rows = await self._source.rows_by_id(ids)
            orphans = [node_id for node_id in ids if node_id not in rows or rows[node_id].pattern_type != "code"]
            await self._delete(orphans)
        await self._delete(points.foreign)

    async def _delete(self, ids: list[UUID] | list[int]) -> None:
        self._counts.examined += len(ids)
        self._counts.deleted += len(ids)
        if not self._settings.dry_run:
            await self._state.assert_locked()
            await self._target.delete(ids)

    async def _recover_vanished(self) -> None:
        """Forget failures of rows that are gone, or no longer code: there is nothing left to sync."""
        failed = sorted(self._state.failed_ids)
        for start in range(0, len(failed), PAGE_ROWS):
            ids = failed[start : start + PAGE_ROWS]
            rows = await self._source.rows_by_id(ids)
            gone = [node_id for node_id in ids if node_id not in rows or rows[node_id].pattern_type != "code"]
            await self._state.clear_failures(gone)

    async def _prove(self, horizon: Horizon) -> None:
        """Compare both sides once more, and fail unless they agree.

        Rows parked as failed, and rows that changed while this run was going, are not held against it: the
        first are counted, the second belong to the next run.
        """
        points = Points()
        differing: list[PointId] = []
        async for change in self._reader.everything(points):
            if is_difference(change) and change.id not in self._state.failed_ids:
                differing.append(change.id)
                if len(differing) > MAX_NAMED_DIFFERENCES:
                    break
        orphans = [node_id for ids in points.orphan_batches(PAGE_ROWS) for node_id in ids]
        suspects = [node_id for node_id in [*differing, *orphans] if isinstance(node_id, UUID)]
        moving = await self._source.touched_since(horizon.xid, suspects) if suspects else set()
        wrong: list[PointId] = [node_id for node_id in [*differing, *orphans] if node_id not in moving]
        wrong += points.foreign
        if wrong:
            self._parity = "broken"
            named = ", ".join(str(node_id) for node_id in wrong[:5])
            raise ParityError(
                f"After the full sync {len(wrong)} patterns still differ between PostgreSQL and "
                f"'{self._settings.collection}' in Qdrant, for example {named}. Does something else write to the "
                "collection? The next full sync repairs what it finds."
            )
        self._note_proof(points, len(moving))

    def _note_proof(self, points: Points, moving: int) -> None:
        self._parity = "proven"
        log.info(
            "Parity proven: ids and hashes of %s points agree with PostgreSQL; %d rows changed meanwhile, %d are "
            "parked as failed.",
            f"{points.seen:,}",
            moving,
            len(self._state.failed_ids),
        )

    async def _verify(self, horizon: Horizon) -> None:
        """Read both sides whole; name what differs, or heal exactly that."""
        if self._settings.dry_run or self._settings.limit:
            raise NothingToDoError("A dry run or a limited run leaves nothing that could be verified.")
        watermark = await self._state.watermark(self._target.collection.identity, horizon)
        if not isinstance(watermark, Watermark):
            raise ConfigurationError(
                f"'{self._settings.collection}' cannot be verified: {watermark}. Run pattern_sync_full first."
            )
        await self._open_history(watermark)
        wrong = await self._wrong(watermark)
        if wrong and self._settings.heal:
            await self._heal(wrong, horizon)
            wrong = await self._wrong(watermark)
        if wrong:
            self._parity = "broken"
            raise wrong_points(self._settings.collection, wrong)
        self._parity = "proven"

    async def _wrong(self, watermark: Watermark) -> list[Difference]:
        verification = await verify(self._source, self._target, watermark, self._state.failed_ids)
        self._counts.examined = verification.patterns
        self._counts.unchanged = verification.patterns - len(verification.wrong)
        return verification.wrong

    async def _heal(self, wrong: Sequence[Difference], horizon: Horizon) -> None:
        points = Points(seen=self._counts.examined)
        for difference in wrong:
            if difference.flaw is Flaw.FOREIGN:
                points.add_orphan(difference.id)
        refuse_mass_delete(points, self._counts.examined, self._settings)
        mends = self._reader.mends([difference for difference in wrong if difference.flaw is not Flaw.FOREIGN])
        await self._pipeline(horizon).run(mends, Progress(len(wrong)))
        await self._delete_orphans(points)

    async def _move_watermark(self, horizon: Horizon) -> None:
        if self._settings.dry_run:
            return
        self._watermark = horizon.watermark
        await self._state.record(
            done=(),
            failures=(),
            watermark=horizon.watermark,
            target_identity=self._target.collection.identity,
            system_identifier=horizon.system_identifier,
        )
        await self._state.prune_tombstones()

    async def _publish(self) -> None:
        """Let readers see a collection that was built beside the one they see now."""
        outdated = self._target.collection.outdated
        if outdated is None:
            return
        self._target.collection = await publish(self._qdrant, self._target.collection, rollback=self._settings.rollback)
        if outdated != self._target.collection.physical:
            self._replaced = outdated
            await self._state.forget(outdated)

    async def _name_old_transaction(self) -> None:
        oldest = await self._source.oldest_transaction()
        if oldest and oldest.age_seconds > OLD_TRANSACTION_SECONDS:
            log.warning(
                "A transaction of pid %d (%s) has been open for %.0f s: changes made since it began wait for its end.",
                oldest.pid,
                oldest.application,
                oldest.age_seconds,
            )

    def _pipeline(self, horizon: Horizon) -> Pipeline:
        return Pipeline(
            self._target,
            DistinctEmbedder(self._embedder),
            self._state,
            PipelineSettings(
                batch_size=self._settings.batch_size,
                delay_seconds=self._settings.delay_seconds,
                in_flight=self._embedder.config.concurrency + READ_AHEAD_BATCHES,
                dry_run=self._settings.dry_run,
                system_identifier=horizon.system_identifier,
            ),
            self._counts,
        )

    async def _open_history(self, watermark: Watermark | None) -> None:
        if not self._settings.dry_run:
            await self._state.start_run(self._identity, self._settings.collection, self._kind, watermark)

    async def _close_history(self, status: str, error: BaseException | None) -> None:
        await self._state.finish_run(
            self._identity,
            {
                "status": status,
                "kind": self._kind,
                "watermark_to": self._watermark.xid if self._watermark else None,
                **self._counts.as_dict(),
                "parity": self._parity,
                "replaced": self._replaced,
                "error": f"{error}" if error else None,
            },
        )
