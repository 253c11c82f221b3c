"""What one run works with, what it has done so far, and its row in the history."""

import contextlib
import time
from collections.abc import AsyncGenerator

from code_patterns.embeddings.base import Embedder
from code_patterns.errors import PatternsError
from code_patterns.progress import ProgressLog
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.capture import Capture
from code_patterns.sync.change_detection import ChangeDetector
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import FIRST_ID, Change, Watermark
from code_patterns.sync.embed import DistinctEmbedder
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.judgement import Judgement
from code_patterns.sync.pairing import Pairing
from code_patterns.sync.pipeline import Pipeline, PipelineSettings
from code_patterns.sync.record import RunRecord
from code_patterns.sync.source import Horizon, PatternSource
from code_patterns.sync.sync_result import Counts, Parity, SyncResult, Waits
from code_patterns.sync.sync_settings import SyncSettings
from code_patterns.sync.target import PatternTarget

READ_AHEAD_BATCHES = 2
"""Batches in flight beyond the embedding server's requests, so that the server never waits for a write."""

BEGINNING = Watermark(0, FIRST_ID)
"""Where a run without a watermark starts."""


class RunContext:
    """One run: its two sides, its settings, and what it has done so far.

    :param kind: name of the kind of run
    :param source: the rows
    :param capture: whether every change of the rows is recorded, checked before the horizon is taken
    :param database: the identity of their database
    :param horizon: where the run stops reading rows
    :param qdrant: the open server
    :param collection: the collection that is read and written
    :param judgement: whether both sides are those that were synced last
    :param embedder: makes vectors
    :param record: where the run is recorded; its session holds the locks unless this is a dry run
    :param settings: the settings
    :param identity: the run's identity, for the history
    """

    def __init__(
        self,
        kind: str,
        source: PatternSource,
        capture: Capture,
        database: DatabaseIdentity,
        horizon: Horizon,
        qdrant: Qdrant,
        collection: Collection,
        judgement: Judgement,
        embedder: Embedder,
        record: RunRecord,
        settings: SyncSettings,
        identity: RunIdentity,
    ) -> None:
        self.kind = kind
        self.start = BEGINNING
        self.source = source
        self.capture = capture
        self.database = database
        self.judgement = judgement
        self.horizon = horizon
        self.qdrant = qdrant
        self.target = PatternTarget(qdrant, collection)
        self.detector = ChangeDetector(source, self.target)
        self.record = record
        self.settings = settings
        self.counts = Counts()
        self.waits = Waits()
        self.pair(reconciles=False, exchanges=False)
        self.parity: Parity = "not proven"
        self.moved_to: Watermark | None = None
        self.replaced: str | None = None
        self._embedder = embedder
        self._identity = identity
        self._started = time.monotonic()

    @property
    def token_limit(self) -> int | None:
        """The longest text that the embedding server takes, as far as it is known now."""
        return self._embedder.token_limit

    @property
    def collection(self) -> Collection:
        """What is known of the collection now; creating and publishing it change that."""
        return self.target.collection

    @collection.setter
    def collection(self, collection: Collection) -> None:
        self.target.collection = collection

    async def apply(self, changes: AsyncGenerator[Change], total: int) -> None:
        """Write changes to Qdrant and record them.

        :param changes: from :class:`~code_patterns.sync.change_detection.ChangeDetector`
        :param total: most changes
        """
        settings = PipelineSettings(
            batch_size=self.settings.batch_size,
            delay_seconds=self.settings.delay_seconds,
            in_flight=self._embedder.config.concurrency + READ_AHEAD_BATCHES,
            dry_run=self.settings.dry_run,
        )
        embedder = DistinctEmbedder(self._embedder)
        pipeline = Pipeline(self.target, embedder, self.record, self.before_write, settings, self.counts, self.waits)
        await pipeline.run(changes, ProgressLog("patterns", total))

    async def move_watermark(self) -> None:
        """Move the watermark to the horizon: everything below has arrived."""
        if self.settings.dry_run:
            return
        await self.pairing.settle()
        self.moved_to = self.horizon.watermark
        await self.record.checkpoints.save(self.horizon.watermark)
        await self.record.checkpoints.prune_tombstones()

    async def find_start(self, *, relies_on_capture: bool) -> str | None:
        """Start where the last run stopped, or return why that is not possible.

        :param relies_on_capture: whether unrecorded changes since then make it impossible
        """
        checkpoint, start = self.judgement.checkpoint, self.judgement.start
        if checkpoint is None or start is None:
            return self.judgement.reason
        if relies_on_capture:
            if missed := checkpoint.missed(self.capture):
                return missed
            if await self.record.checkpoints.pruned_beyond(start):
                return "deletions that it has not seen were forgotten meanwhile"
        self.start = start
        return None

    def pair(self, *, reconciles: bool, exchanges: bool) -> None:
        """Choose how this run changes the token of both sides; see :class:`~code_patterns.sync.pairing.Pairing`."""
        self.pairing = Pairing(
            self.target,
            self.record,
            self.database,
            agreed=self.judgement.agreed,
            reconciles=reconciles,
            exchanges=exchanges,
        )

    async def before_write(self) -> None:
        """Check that this run may write to Qdrant, and announce it to both sides."""
        await self.record.assert_locked()
        await self.pairing.begin()

    async def open_history(self) -> None:
        """Record the start of the run in the history; a dry run is not recorded."""
        if not self.settings.dry_run:
            await self.record.history.start(
                self._identity,
                name=self.settings.collection,
                kind=self.kind,
                id_range=self.settings.id_range,
                watermark=None if self.start == BEGINNING else self.start,
            )

    async def close_history(self, error: BaseException | None) -> None:
        """Record the end of the run; an error of the run is never replaced by one of recording it."""
        outcome = {
            "status": "failed" if error else "succeeded",
            "kind": self.kind,
            "watermark_to": self.moved_to.xid if self.moved_to else None,
            **self.counts.as_dict(),
            "parity": self.parity,
            "replaced": self.replaced,
        }
        with contextlib.suppress(PatternsError) if error else contextlib.nullcontext():
            await self.record.finish(self._identity, outcome, f"{error}" if error else None)

    async def result(self) -> SyncResult:
        """The result, after everything is done."""
        return SyncResult(
            run_id=None if self.settings.dry_run else self._identity.id,
            kind=self.kind,
            collection=self.settings.collection,
            dry_run=self.settings.dry_run,
            counts=self.counts.as_dict(),
            seconds=time.monotonic() - self._started,
            embed_seconds=self.waits.embed,
            upsert_seconds=self.waits.upsert,
            parity=self.parity,
            dead_letters=len(self.record.dead_letters.ids),
            lag_seconds=await self.source.lag_seconds(self.horizon),
            watermark_xid=self.moved_to.xid if self.moved_to else None,
        )
