"""What one run works with, what it has found so far, and its row in the history."""

import contextlib
import time

from code_patterns.embeddings.base import Embedder
from code_patterns.errors import PatternsError
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.change_detection import ChangeDetector
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import Watermark
from code_patterns.sync.embed import DistinctEmbedder
from code_patterns.sync.pipeline import Pipeline, PipelineSettings
from code_patterns.sync.source import Horizon, PatternSource
from code_patterns.sync.state import SyncState
from code_patterns.sync.sync_result import Counts, Kind, Parity, SyncResult, Waits
from code_patterns.sync.sync_settings import SyncSettings
from code_patterns.sync.target import PatternTarget

READ_AHEAD_BATCHES = 2
"""Batches in flight beyond what the embedding server takes at once, so that it never waits for a write."""


class RunContext:
    """One run: its two sides, what the person chose, and what it has done so far.

    :param source: the rows
    :param qdrant: the open server
    :param collection: what is read and written there
    :param embedder: where vectors come from
    :param state: where the run is recorded; it holds the collection's lock unless this is a dry run
    :param settings: what the person chose
    :param identity: which run this is, for the history
    """

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
        self.source = source
        self.qdrant = qdrant
        self.target = PatternTarget(qdrant, collection)
        self.detector = ChangeDetector(source, self.target)
        self.state = state
        self.settings = settings
        self.counts = Counts()
        self.waits = Waits()
        self.kind: Kind = "interval" if settings.interval else "shard" if settings.id_range else settings.mode
        self.parity: Parity = "not proven"
        self.watermark: Watermark | None = None
        self.replaced: str | None = None
        self._embedder = embedder
        self._identity = identity
        self._started = time.monotonic()

    def pipeline(self, horizon: Horizon) -> Pipeline:
        """The way from changes to recorded points."""
        return Pipeline(
            self.target,
            DistinctEmbedder(self._embedder),
            self.state,
            PipelineSettings(
                batch_size=self.settings.batch_size,
                delay_seconds=self.settings.delay_seconds,
                in_flight=self._embedder.config.concurrency + READ_AHEAD_BATCHES,
                dry_run=self.settings.dry_run,
                system_identifier=horizon.system_identifier,
            ),
            self.counts,
            self.waits,
        )

    async def move_watermark(self, horizon: Horizon) -> None:
        """Note that everything below the horizon has arrived."""
        if self.settings.dry_run:
            return
        self.watermark = horizon.watermark
        await self.state.record(
            done=(),
            dead_letters=(),
            watermark=horizon.watermark,
            target_identity=self.target.collection.identity,
            system_identifier=horizon.system_identifier,
        )
        await self.state.prune_tombstones()

    async def open_history(self, watermark: Watermark | None) -> None:
        """Enter the run into the history; a dry run leaves no trace there.

        :param watermark: where it starts from
        """
        if not self.settings.dry_run:
            await self.state.start_run(self._identity, self.settings.collection, self.kind, watermark)

    async def close_history(self, error: BaseException | None) -> None:
        """Note how the run ended; where it failed, nothing that goes wrong here takes the error's place."""
        outcome = {
            "status": "failed" if error else "succeeded",
            "kind": self.kind,
            "watermark_to": self.watermark.xid if self.watermark else None,
            **self.counts.as_dict(),
            "parity": self.parity,
            "replaced": self.replaced,
            "error": f"{error}" if error else None,
        }
        with contextlib.suppress(PatternsError) if error else contextlib.nullcontext():
            await self.state.finish_run(self._identity, outcome)

    async def result(self, horizon: Horizon) -> SyncResult:
        """The outcome, once all is done."""
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
            dead_letters=len(self.state.dead_letter_ids),
            lag_seconds=await self.source.lag_seconds(horizon),
            watermark_xid=self.watermark.xid if self.watermark else None,
        )
