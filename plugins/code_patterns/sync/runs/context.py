"""What one run works with, what it has done so far, and its row in the history."""

import asyncio
import contextlib
import logging
import time

from code_patterns.embeddings.base import Embedder
from code_patterns.errors import OutageError, PatternsError
from code_patterns.run_identity import RunIdentity
from code_patterns.sync.carried import Donors, KnownVectors
from code_patterns.sync.change_detection import ChangeDetector
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import FIRST_ID, Watermark
from code_patterns.sync.embed import DistinctEmbedder
from code_patterns.sync.outbox import AGREEING
from code_patterns.sync.pairing import Pairing
from code_patterns.sync.pipeline import Pipeline, PipelineSettings
from code_patterns.sync.proof_session import ProofSession
from code_patterns.sync.publication import remember_token_limit
from code_patterns.sync.record import RunRecord
from code_patterns.sync.source import PAGE_ROWS, Horizon, Lag, PatternSource
from code_patterns.sync.stages import Stages
from code_patterns.sync.stored_points import StoredPoints
from code_patterns.sync.sync_result import Counts, Parity, RunWork, SyncResult
from code_patterns.sync.sync_settings import SyncSettings
from code_patterns.sync.target import PatternTarget

log = logging.getLogger(__name__)

READ_AHEAD_BATCHES = 2
"""Batches in flight beyond the embedding server's requests, so that the server never waits for a write."""

BEGINNING = Watermark(0, FIRST_ID)
"""Where a run without a watermark starts."""


class RunContext:
    """One run: its two sides, its settings, and what it has done so far.

    :param kind: name of the kind of run
    :param start: where it starts reading rows
    :param synced: the watermark of earlier runs, wherever this one starts; ``None`` if it says nothing
    :param horizon: where it stops reading rows
    :param source: the rows
    :param stored: the points
    :param target: writes points
    :param embedder: makes vectors
    :param record: where the run is recorded; its session holds the locks unless this is a dry run
    :param donors: collections of other targets
    :param pairing: changes the token of both sides
    :param settings: the settings
    :param identity: the run's identity, for the history
    """

    def __init__(
        self,
        kind: str,
        start: Watermark,
        synced: Watermark | None,
        horizon: Horizon,
        source: PatternSource,
        stored: StoredPoints,
        target: PatternTarget,
        embedder: Embedder,
        donors: Donors,
        record: RunRecord,
        pairing: Pairing,
        settings: SyncSettings,
        identity: RunIdentity,
    ) -> None:
        self.kind = kind
        self.start = start
        self.synced = synced
        self.horizon = horizon
        self.source = source
        self.stored = stored
        self.target = target
        self.record = record
        self.pairing = pairing
        self.settings = settings
        self.qdrant = target.qdrant
        self.detector = ChangeDetector(source, stored, target.collection)
        self.counts = Counts()
        self.stages = Stages(kind, settings.collection)
        self.known = KnownVectors(target.qdrant, target.collection, donors)
        self.pipeline = Pipeline(
            target,
            DistinctEmbedder(embedder, self.known.of if self.known.any else None),
            record,
            self.before_write,
            PipelineSettings(
                batch_size=settings.batch_size,
                delay_seconds=settings.delay_seconds,
                in_flight=embedder.config.concurrency + READ_AHEAD_BATCHES,
                dry_run=settings.dry_run,
            ),
            self.counts,
            self.stages,
        )
        self.parity: Parity = "not proven"
        self.moved_to: Watermark | None = None
        self.replaced: str | None = None
        self.left: Lag | None = None
        """What it has left to the next run; by default what its horizon did not show."""
        self._proof_session: ProofSession | None = None
        self._embedder = embedder
        self._lock = asyncio.Lock()
        self.identity = identity
        self._started = time.monotonic()

    @property
    def collection(self) -> Collection:
        """What is known of the collection now; exchanging tokens and publishing it change that."""
        return self.target.collection

    @collection.setter
    def collection(self, collection: Collection) -> None:
        self.target.collection = collection

    async def proof_session(self) -> ProofSession:
        """Begin a proof on the run's second session, which is opened with the first one.

        :raises OutageError: another cluster answers now
        """
        if self._proof_session:
            # It may have been idle for hours, and may have ended.
            with contextlib.suppress(OutageError):
                await self._proof_session.begin()
                return self._proof_session
            await self._proof_session.aclose()
        self._proof_session = await ProofSession.open(
            self.source.config, self.horizon.system_identifier, self.source.only
        )
        await self._proof_session.begin()
        return self._proof_session

    async def aclose(self) -> None:
        """Close what the run has opened by itself."""
        if self._proof_session:
            await self._proof_session.aclose()

    async def move_watermark(self, to: Watermark | None = None) -> None:
        """Move the watermark: everything below has arrived.

        :param to: where to; by default to the horizon
        """
        if self.settings.dry_run:
            return
        await self.pairing.settle()
        self.moved_to = to or self.horizon.watermark
        await self.record.move_watermark(self.moved_to)

    async def settle_outbox(self) -> None:
        """Find out which writes a killed run has done without recording them, so that Kafka is told about them too."""
        outbox = self.record.outbox
        left = sorted(outbox.left) if outbox else []
        for start in range(0, len(left), PAGE_ROWS):
            changes = await self.detector.compared(left[start : start + PAGE_ROWS])
            # The others are not done: who writes them settles them.
            await self.record.settle([change for change in changes if change.action in AGREEING])

    async def before_write(self) -> None:
        """Check that this run may write to Qdrant, announce it to both sides, and store what it found out."""
        async with self._lock:
            await self.record.assert_locked()
            await self.pairing.begin()
            # Now, and not at the end: a run that fails later has not searched in vain.
            self.collection = await remember_token_limit(self.qdrant, self.collection, self._embedder.token_limit)

    async def open_history(self) -> None:
        """Record the start of the run in the history."""
        await self.record.history.start(
            self.identity,
            name=self.settings.collection,
            kind=self.kind,
            id_range=self.settings.id_range,
            watermark=None if self.start == BEGINNING else self.start,
        )

    async def close_history(self, error: BaseException | None) -> None:
        """Record the end of the run; an error of the run is never replaced by one of recording it."""
        outcome = {
            "kind": self.kind,
            "watermark_to": self.moved_to.xid if self.moved_to else None,
            **self.counts.as_dict(),
            **self.stages.waits.as_dict(),
            "parity": self.parity,
            "replaced": self.replaced,
            "latency_p50": None,
            "latency_p99": None,
        }
        with contextlib.suppress(PatternsError) if error else contextlib.nullcontext():
            await self.record.finish(self.identity, outcome, error)

    def work(self) -> RunWork:
        """What the run has done so far."""
        return RunWork(
            kind=self.kind,
            collection=self.settings.collection,
            counts=self.counts.as_dict(),
            seconds=time.monotonic() - self._started,
            stages=self.stages.waits.as_dict(),
        )

    async def result(self) -> SyncResult:
        """The result, after everything is done."""
        if self.known.carried:
            log.info("%s vectors were taken from '%s'.", f"{self.known.carried:,}", self.collection.carried_from)
        if self.known.copied:
            log.info("%s vectors were copied from collections of other targets.", f"{self.known.copied:,}")
        lag = self.left or await self.source.lag(self.horizon.snapshot)
        return SyncResult(
            **vars(self.work()),
            run_id=None if self.settings.dry_run else self.identity.id,
            dry_run=self.settings.dry_run,
            parity=self.parity,
            dead_letters=len(self.record.dead_letters.ids),
            lag_seconds=lag.seconds,
            behind=lag.rows,
            proof_age_seconds=await self.record.history.proof_age_seconds(self.settings.collection),
            watermark_xid=self.moved_to.xid if self.moved_to else None,
        )
