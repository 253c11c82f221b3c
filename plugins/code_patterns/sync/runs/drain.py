"""One drain of the stream: everything that changed since the last one."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from code_patterns.sync.diff import Change
from code_patterns.sync.latency import Latencies, ServerClock
from code_patterns.sync.named import NamedRows
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.runs.opening import ComparisonNeededError
from code_patterns.sync.snapshot import NOTHING, Snapshot, Span
from code_patterns.sync.source import PAGE_ROWS, Look

AHEAD_ROWS = 100
"""So many of the newest rows go ahead of a burst: those committed after it are among them."""


@dataclass(frozen=True)
class Seen:
    """How far the stream has come.

    :param snapshot: every change that it shows is done
    :param at: when it was taken, by the database's clock; ``None`` for the snapshot before anything
    """

    snapshot: Snapshot = NOTHING
    at: datetime | None = None


class Drain(RunKind):
    """Takes what one snapshot shows and an earlier one did not, however old the transactions are that are still open.

    The snapshot of the last drain is remembered, so each change is read once. The watermark follows the oldest open
    transaction, as in the hourly run: whoever starts there compares again what is done, and misses nothing.

    While it works off a burst it goes on looking, and lets the few that come meanwhile go first. A pattern is never in
    two batches at once: its versions would be written in any order, and the older one could be the last.

    :param look_seconds: how often it looks while it works
    :param should_stop: asked at each of these looks; the rest is left to the next drain
    :param named: rows that events have named
    """

    name = "stream"
    creates = False
    starts_at_watermark = True
    relies_on_capture = True

    def __init__(self, look_seconds: float, should_stop: Callable[[], Awaitable[bool]], named: NamedRows) -> None:
        self.seen = Seen()
        self.latencies: Latencies | None = None
        self._look_seconds = look_seconds
        self._should_stop = should_stop
        self._named = named
        self._collection: str | None = None

    async def execute(self, run: RunContext) -> None:
        """Sync the changes, and move the watermark.

        :raises ComparisonNeededError: deletions were forgotten while they were read
        """
        if self._collection != run.collection.identity:
            # Another collection stands behind the name; what the last one got says nothing about it.
            self._collection, self.seen = run.collection.identity, Seen()
        clock = ServerClock(run.horizon.at)
        if self.latencies is None:
            self.latencies = Latencies(run.horizon.at)
        latencies = self.latencies
        named = self._named.waiting
        if run.record.outbox:
            run.record.outbox.causes = self._named.causes
        work = _Work(run, self.seen, self._look_seconds, self._should_stop, named)
        total = await run.source.count_changed(work.span)

        def recorded(changes: Sequence[Change], done: Sequence[Change]) -> None:
            latencies.add(done, clock.now())
            work.recorded(changes)

        await run.pipeline.run(work.changes(total), total, recorded)
        if await run.source.tombstones_pruned_beyond(run.start):
            # They were still there when the drain began. Its rows may have moved the watermark beyond them.
            raise ComparisonNeededError(run.collection, self.name, "deletions were forgotten while it read them")
        if work.done:
            self.seen = work.done
            self._named.done(named)
            arrived = work.done.snapshot
            await run.move_watermark(arrived.watermark)
            if arrived.horizon < arrived.end:
                await run.record.note_arrived(arrived, run.horizon.incarnation)


class _Work:
    """The changes of one drain.

    :param run: the run
    :param seen: what is done before it
    :param look_seconds: how often it looks for more
    :param should_stop: asked at each look
    :param named: rows to look at, whenever they changed
    """

    def __init__(
        self,
        run: RunContext,
        seen: Seen,
        look_seconds: float,
        should_stop: Callable[[], Awaitable[bool]],
        named: frozenset[UUID],
    ) -> None:
        self.span = Span(run.start, run.horizon.snapshot, seen.snapshot)
        self.done: Seen | None = None
        """How far the stream has come with it; ``None`` until all changes were handed out."""
        self._run = run
        self._since = seen.at
        self._look_seconds = look_seconds
        self._should_stop = should_stop
        self._named = named
        self._latest = Seen(run.horizon.snapshot, run.horizon.at)
        self._in_flight: set[UUID] = set()
        self._overtaken: set[UUID] = set()
        self._held: set[UUID] = set()

    def recorded(self, changes: Iterable[Change]) -> None:
        """Note what has been written or parked."""
        self._in_flight.difference_update(change.id for change in changes)

    async def changes(self, total: int) -> AsyncGenerator[Change]:
        """What changed; every few moments also what has changed meanwhile, unless that is a burst too.

        :param total: how many rows changed
        """
        run, done, gapless = self._run, self._latest, True
        if total > PAGE_ROWS:
            # What was committed right after a burst would wait for all of it.
            async for change in self._ahead(run.detector.newest(self.span, AHEAD_ROWS), self._since):
                yield change
        next_look = time.monotonic() + self._look_seconds
        async with aclosing(self._backlog()) as backlog:
            async for change in backlog:
                # It was read before the version that went ahead, and is the older one.
                if change.id not in self._overtaken:
                    self._in_flight.add(change.id)
                    yield _committed_after(self._since, change)
                if time.monotonic() < next_look:
                    continue
                if await self._should_stop():
                    return
                look = await run.source.look(self._latest.snapshot)
                if look.changed or self._held:
                    count = 0
                    async with aclosing(self._fresh(look)) as fresh:
                        async for change in fresh:
                            count += 1
                            yield change
                    # A full page may have left something out. Then the next drain begins before it.
                    gapless = gapless and count + len(self._held) < PAGE_ROWS
                self._latest = Seen(look.snapshot, look.at)
                if gapless and not self._held:
                    done = self._latest
                next_look = time.monotonic() + self._look_seconds
        self.done = done

    async def _backlog(self) -> AsyncGenerator[Change]:
        """What has changed, then what events have named: a replay of old events must not hold up what is new."""
        detector, parked = self._run.detector, self._run.record.dead_letters.due
        async with aclosing(detector.since(self.span, dead_letters=parked)) as changed:
            async for change in changed:
                yield change
        async with aclosing(detector.looked_up(self._named - parked, self.span)) as named:
            async for change in named:
                # Its row changed once more since: the next drain takes that.
                if change.id not in self._in_flight:
                    yield change

    async def _fresh(self, look: Look) -> AsyncGenerator[Change]:
        """What has changed since the last look, and what was held back before."""
        held, self._held = self._held, set()
        span = Span(self._latest.snapshot.watermark, look.snapshot, self._latest.snapshot)
        changes = self._run.detector.since(span, dead_letters=held, limit=PAGE_ROWS, moves=False)
        async for change in self._ahead(changes, self._latest.at):
            yield change

    async def _ahead(self, changes: AsyncGenerator[Change], since: datetime | None) -> AsyncGenerator[Change]:
        """Let changes go ahead of the backlog; hold back those whose earlier version is being written."""
        # What is recorded while these are read was read too early.
        busy = self._in_flight.copy()
        async with aclosing(changes) as some:
            async for change in some:
                if change.id in busy or change.id in self._in_flight:
                    self._held.add(change.id)
                    continue
                self._overtaken.add(change.id)
                self._in_flight.add(change.id)
                yield _committed_after(since, change)


def _committed_after(since: datetime | None, change: Change) -> Change:
    """Set the earliest time at which a change can have been committed: no look showed it before."""
    if since is None or change.changed_at is None or change.changed_at >= since:
        return change
    return replace(change, changed_at=since)
