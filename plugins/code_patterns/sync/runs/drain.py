"""One drain of the stream: everything that changed since the last one."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
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

    While it works off a burst it goes on looking, and lets the few that come meanwhile go first.

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
        await run.pipeline.run(work.changes(), total, lambda done: latencies.add(done, clock.now()))
        if await run.source.tombstones_pruned_beyond(run.start):
            # They were still there when the drain began. Its rows may have moved the watermark beyond them.
            raise ComparisonNeededError(run.collection, self.name, "deletions were forgotten while it read them")
        if work.done:
            self.seen = work.done
            self._named.done(named)
            await run.move_watermark(work.done.snapshot.watermark)

    def saw_nothing_new(self, look: Look) -> None:
        """Remember a look that showed no change."""
        self.seen = Seen(look.snapshot, look.at)


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

    async def changes(self) -> AsyncGenerator[Change]:
        """What changed; every few moments also what has changed meanwhile, unless that is a burst too."""
        run = self._run
        latest = done = Seen(run.horizon.snapshot, run.horizon.at)
        gapless = True
        next_look = time.monotonic() + self._look_seconds
        async with aclosing(self._backlog()) as backlog:
            async for change in backlog:
                yield _committed_after(self._since, change)
                if time.monotonic() < next_look:
                    continue
                if await self._should_stop():
                    return
                look = await run.source.look(latest.snapshot)
                if look.changed:
                    fresh, count = Span(latest.snapshot.watermark, look.snapshot, latest.snapshot), 0
                    async with aclosing(run.detector.since(fresh, limit=PAGE_ROWS, moves=False)) as some:
                        async for new in some:
                            count += 1
                            yield _committed_after(latest.at, new)
                    # A full page may have left something out. Then the next drain begins before it.
                    gapless = gapless and count < PAGE_ROWS
                latest = Seen(look.snapshot, look.at)
                if gapless:
                    done = latest
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
                yield change


def _committed_after(since: datetime | None, change: Change) -> Change:
    """Set the earliest time at which a change can have been committed: no look showed it before."""
    if since is None or change.changed_at is None or change.changed_at >= since:
        return change
    return replace(change, changed_at=since)
