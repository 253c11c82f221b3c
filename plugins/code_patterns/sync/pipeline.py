"""The pipeline of one run.

Changes are cut into batches. Several batches are in flight at once, but they are recorded in the order in which they
were read. So the watermark never passes a batch that is not done.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from code_patterns.bisection import bisect
from code_patterns.codes import Code
from code_patterns.embeddings.base import RejectedInputError, Vectors
from code_patterns.errors import ConfigurationError
from code_patterns.progress import ProgressLog
from code_patterns.sync.dead_letters import DeadLetter
from code_patterns.sync.diff import EMBEDS, WRITES, Action, Change, Watermark
from code_patterns.sync.embed import DistinctEmbedder, Embedding
from code_patterns.sync.pattern import Pattern
from code_patterns.sync.record import RunRecord
from code_patterns.sync.stages import Stages
from code_patterns.sync.sync_result import Counts
from code_patterns.sync.target import PatternTarget, PointRejectedError

log = logging.getLogger(__name__)

MAX_BATCH_CHARACTERS = 4_000_000
"""Most characters of a batch, unless a single pattern is larger; limits memory and request size."""
MAX_BATCH_EXAMINED = 5_000
"""Most changes of a batch, even if few of them need work."""
WATERMARK_SECONDS = 0.5
"""The watermark moves no more often: each move waits for the disk. What was done after the last move of a run that is
killed is compared again, and embeds nothing."""
SUSPICIOUS_REJECTIONS = 10
"""If Qdrant refuses this many patterns, and accepts none of the batch, the patterns are not to blame."""


@dataclass(slots=True)
class Batch:
    """Consecutive changes that are written and recorded together."""

    changes: list[Change] = field(default_factory=list)
    writes: int = 0
    characters: int = 0

    def add(self, change: Change) -> None:
        """Add a change."""
        self.changes.append(change)
        if change.action in WRITES:
            self.writes += 1
            self.characters += len(change.pattern.text) if change.pattern else 0

    def of(self, actions: Iterable[Action]) -> list[Change]:
        """The changes with one of these actions."""
        wanted = frozenset(actions)
        return [change for change in self.changes if change.action in wanted]

    @property
    def watermark(self) -> Watermark | None:
        """How far the watermark may move after the batch is done."""
        return max((change.watermark for change in self.changes if change.watermark), default=None)


@dataclass(frozen=True)
class PipelineSettings:
    """Settings of a pipeline.

    :param batch_size: patterns written together
    :param delay_seconds: pause between batches
    :param in_flight: batches in flight at once
    :param dry_run: decide and count, write nothing
    """

    batch_size: int
    delay_seconds: float
    in_flight: int
    dry_run: bool


class Pipeline:
    """Applies changes to Qdrant and records them.

    :param target: where points are written
    :param embedder: where vectors come from
    :param record: where batches are recorded
    :param before_write: called before every write; its errors end the run
    :param settings: settings
    :param counts: counts, updated in place
    :param stages: measures what it waits for
    """

    def __init__(
        self,
        target: PatternTarget,
        embedder: DistinctEmbedder,
        record: RunRecord,
        before_write: Callable[[], Awaitable[None]],
        settings: PipelineSettings,
        counts: Counts,
        stages: Stages,
    ) -> None:
        self._target = target
        self._embedder = embedder
        self._record = record
        self._before_write = before_write
        self._settings = settings
        self._counts = counts
        self._stages = stages
        self._reached: Watermark | None = None
        self._moved_at = 0.0

    async def run(
        self,
        changes: AsyncGenerator[Change],
        total: int,
        recorded: Callable[[Sequence[Change], Sequence[Change]], None] | None = None,
    ) -> None:
        """Apply all changes.

        :param changes: from :class:`~code_patterns.sync.change_detection.ChangeDetector`
        :param total: most changes, for the progress in the log
        :param recorded: called with each batch after it was recorded, and with what is done of it: the rest is parked
        :raises PatternsError: the run failed; what was recorded until then stays
        """
        progress = ProgressLog("patterns", total)
        window: deque[tuple[Batch, asyncio.Task[list[DeadLetter]]]] = deque()
        self._moved_at = time.monotonic()

        async def record_oldest() -> None:
            batch, task = window.popleft()
            done = await self._finish(batch, await task)
            if recorded:
                recorded(batch.changes, done)
            progress.show(self._counts.examined, written=self._counts.written, parked=self._counts.parked)

        try:
            # A run that fails in the middle closes its generators here, not when the event loop finds them.
            async with aclosing(changes), aclosing(self._batches(changes)) as batches:
                while batch := await self._read(batches):
                    window.append((batch, asyncio.create_task(self._apply(batch))))
                    while len(window) >= self._settings.in_flight or (window and window[0][1].done()):
                        await record_oldest()
                    if batch.writes and self._settings.delay_seconds:
                        await asyncio.sleep(self._settings.delay_seconds)
            while window:
                await record_oldest()
            await self._move_watermark()
        finally:
            for _, task in window:
                task.cancel()
            await asyncio.gather(*(task for _, task in window), return_exceptions=True)

    async def _read(self, batches: AsyncGenerator[Batch]) -> Batch | None:
        with self._stages.measured("read") as note:
            batch = await anext(batches, None)
            note(changes=len(batch.changes) if batch else 0)
        return batch

    async def _batches(self, changes: AsyncIterator[Change]) -> AsyncGenerator[Batch]:
        batch = Batch()
        async for change in changes:
            batch.add(change)
            if (
                batch.writes >= self._settings.batch_size
                or batch.characters >= MAX_BATCH_CHARACTERS
                or len(batch.changes) >= MAX_BATCH_EXAMINED
            ):
                yield batch
                batch = Batch()
        if batch.changes:
            yield batch

    async def _apply(self, batch: Batch) -> list[DeadLetter]:
        """Embed and write one batch; return the rows to park."""
        dead_letters = [DeadLetter(change.id, "read", change.error or "") for change in batch.of({Action.UNREADABLE})]
        if self._settings.dry_run:
            return dead_letters
        patterns = [change.pattern for change in batch.of(EMBEDS) if change.pattern]
        embeddable: list[Pattern] = []
        vectors: dict[UUID, Vectors] = {}
        for pattern, result in zip(patterns, await self._embed(patterns), strict=True):
            if isinstance(result, RejectedInputError):
                dead_letters.append(DeadLetter(pattern.id, "embed", str(result)))
            else:
                vectors[pattern.id] = result.vector
                embeddable.append(pattern.marked_truncated() if result.truncated else pattern)

        gone = [change.id for change in batch.of({Action.DELETE, *self._deletes_again})]
        if not batch.writes and not gone:
            return dead_letters
        await self._before_write()
        refused = {dead_letter.id for dead_letter in dead_letters}
        await self._record.intend([change for change in batch.changes if change.id not in refused])
        with self._stages.measured("upsert", patterns=batch.writes, deletions=len(gone)):
            dead_letters += await self._change(batch, embeddable, vectors, gone)
        return dead_letters

    async def _embed(self, patterns: Sequence[Pattern]) -> list[Embedding | RejectedInputError]:
        if not patterns:
            return []
        characters = sum(len(pattern.text) for pattern in patterns)
        with self._stages.measured("embed", patterns=len(patterns), characters=characters):
            return await self._embedder.embed(patterns)

    async def _change(
        self, batch: Batch, embeddable: Sequence[Pattern], vectors: Mapping[UUID, Vectors], gone: Sequence[UUID]
    ) -> list[DeadLetter]:
        """Change points in Qdrant; return the rows to park.

        :param embeddable: patterns that have got a vector
        :param vectors: these vectors, by id
        :param gone: points to delete
        """
        dead_letters: list[DeadLetter] = []

        def with_vectors(
            write: Callable[[Sequence[Pattern], Vectors], Awaitable[None]],
        ) -> Callable[[Sequence[Pattern]], Awaitable[None]]:
            return lambda some: write(some, np.stack([vectors[pattern.id] for pattern in some]))

        known = {change.id for change in batch.of({Action.CHANGED})}
        # Deletions first: a point that was written last shows that the collection is the same, a deleted one does not.
        await self._delete(gone)
        for write, patterns in (
            (self._target.upsert, [pattern for pattern in embeddable if pattern.id not in known]),
            (self._target.update, [pattern for pattern in embeddable if pattern.id in known]),
        ):
            dead_letters += await self._write(patterns, with_vectors(write))
        for action, rewrite in (
            (Action.WORDS_ONLY, self._target.set_words),
            (Action.PAYLOAD_ONLY, self._target.set_payloads),
        ):
            patterns = [change.pattern for change in batch.of({action}) if change.pattern]
            dead_letters += await self._write(patterns, rewrite)
        return dead_letters

    @property
    def _deletes_again(self) -> frozenset[Action]:
        """What is deleted although it is absent: an earlier deletion may have reached only some replicas."""
        return frozenset({Action.ABSENT}) if self._target.collection.replicated else frozenset()

    async def _delete(self, ids: Sequence[UUID]) -> None:
        if self._record.witness_id in ids and (other := await self._target.mark_other(ids)):
            # A run that is killed after the deletion must leave a point by which its collection is known.
            await self._record.move_witness(other)
        await self._target.delete(ids)

    async def _write(
        self, patterns: Sequence[Pattern], attempt: Callable[[Sequence[Pattern]], Awaitable[None]]
    ) -> list[DeadLetter]:
        rejected = await bisect(patterns, attempt, PointRejectedError)
        certain = any(isinstance(reason, PointRejectedError) and reason.certain for _, reason in rejected)
        if len(rejected) == len(patterns) >= SUSPICIOUS_REJECTIONS and not certain:
            raise ConfigurationError(
                Code.EVERY_POINT_REFUSED,
                f"Qdrant refused every one of {len(patterns)} patterns, so none is blamed: {rejected[0][1]}",
            )
        return [DeadLetter(pattern.id, "write", str(reason)) for pattern, reason in rejected]

    async def _finish(self, batch: Batch, dead_letters: Sequence[DeadLetter]) -> list[Change]:
        """Count and record a batch that is done; return it without what was parked."""
        parked = {dead_letter.id for dead_letter in dead_letters}
        done = [change for change in batch.changes if change.id not in parked]
        outcomes = Counter(change.action for change in done)
        self._counts.examined += len(batch.changes)
        self._counts.new += outcomes[Action.NEW]
        self._counts.changed += outcomes[Action.CHANGED]
        self._counts.words_only += outcomes[Action.WORDS_ONLY]
        self._counts.payload_only += outcomes[Action.PAYLOAD_ONLY]
        self._counts.unchanged += outcomes[Action.UNCHANGED]
        self._counts.deleted += outcomes[Action.DELETE]
        self._counts.parked += len(parked)
        self._counts.embedded_texts = self._embedder.embedded_texts
        self._counts.embedded_characters = self._embedder.embedded_characters
        for dead_letter in dead_letters:
            log.warning(
                "Parked pattern %s as a dead letter (%s): %s", dead_letter.id, dead_letter.stage, dead_letter.error
            )
        if not self._settings.dry_run:
            # What goes ahead, or lies beyond an open transaction, moves no watermark.
            changed = {change.id for change in batch.changes if change.fresh}
            await self._record.save_batch(
                done,
                [replace(dead_letter, changed=dead_letter.id in changed) for dead_letter in dead_letters],
                [change for change in batch.changes if change.id in parked],
            )
            self._reached = batch.watermark or self._reached
            if time.monotonic() - self._moved_at >= WATERMARK_SECONDS:
                await self._move_watermark()
        return done

    async def _move_watermark(self) -> None:
        """Record how far the run has come."""
        if self._reached:
            # A run that is killed next must leave a point by which its collection is known.
            await self._target.mark_survivor()
            await self._record.save_progress(self._reached, self._target.last_write)
        self._reached, self._moved_at = None, time.monotonic()
