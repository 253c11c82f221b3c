"""What a stream tells: every few seconds to whoever collects metrics, in the run history, and at its end."""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress

from code_patterns.errors import PatternsError
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.sync.history import RunHistory, proof_age_seconds
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.drain import Drain
from code_patterns.sync.source import Lag
from code_patterns.sync.stream_result import Progress, StreamResult
from code_patterns.sync.sync_target import SyncTarget

log = logging.getLogger(__name__)

TELL_SECONDS = 10.0
"""How often a stream tells what it has done, while there is work."""
LOG_SECONDS = 300.0
"""How often it says so in the log too."""

Tell = Callable[[StreamResult], None]
"""Gets what a stream did since it told last."""


class StreamReport:
    """What one stream has done so far.

    :param drain: measures how soon changes are found, and knows how far the stream has come
    :param collection: the collection, as users write it
    :param target: whose stream it is
    :param identity: the run's identity, for the history
    :param tell: called every few seconds while there is work, and at the end
    """

    def __init__(self, drain: Drain, collection: str, target: SyncTarget, identity: RunIdentity, tell: Tell) -> None:
        self.ended = ""
        """Why the stream ended; empty while it works."""
        self.comparison_needed = False
        """Whether only a run that compares everything can go on."""
        self._drain = drain
        self._collection = collection
        self._target = target
        self._identity = identity
        self._tell = tell
        self._last: RunContext | None = None
        self._total, self._part = Progress(), Progress()
        self._logged_at = time.monotonic()
        self._lag = Lag(0.0, 0)
        self._proof_age_seconds: float | None = None

    async def begin(self, run: RunContext) -> None:
        """Note the beginning of a drain; the first one begins the run history."""
        first, self._last = self._last is None, run
        if first:
            await run.open_history()

    def add(self, run: RunContext) -> None:
        """Add what a drain has done, also if it failed."""
        self._total.add(run.counts, run.stages.waits)
        self._part.add(run.counts, run.stages.waits)

    async def now_and_then(self, session: LockedSession) -> None:
        """Tell what was done, if there is something and it is time."""
        if self._part.counts.examined and time.monotonic() - self._part.started >= TELL_SECONDS:
            await self.now(session)

    async def now(self, session: LockedSession) -> None:
        """Tell what was done since the last time, and store what was done in all."""
        [lag] = await session.fetch("sync_lag", seen=self._drain.seen.snapshot.text)
        self._lag = Lag(*lag)
        self._proof_age_seconds = await proof_age_seconds(session, self._collection, self._target)
        self._tell(self._result_of(self._part))
        self._part = Progress()
        if self._last:
            total = self.result()
            await RunHistory(session, self._last.collection).note(self._identity, total.recorded())
            if time.monotonic() - self._logged_at >= LOG_SECONDS:
                self._logged_at = time.monotonic()
                log.info("So far: %s", total.summary())

    async def close(self, session: LockedSession, error: BaseException | None = None) -> None:
        """Record the end; an error of the stream is never replaced by one of recording it."""
        if self._last is None:
            return
        total = self.result()
        outcome = {
            **total.recorded(),
            "kind": total.kind,
            "watermark_to": total.watermark_xid,
            "parity": total.parity,
            "replaced": None,
        }
        with suppress(PatternsError) if error else nullcontext():
            history = RunHistory(session, self._last.collection)
            await history.finish(self._identity, outcome, error)

    def result(self) -> StreamResult:
        """What the whole stream has done."""
        return self._result_of(self._total)

    def _result_of(self, progress: Progress) -> StreamResult:
        latencies, last = self._drain.latencies, self._last
        return StreamResult(
            run_id=self._identity.id if last else None,
            kind=Drain.name,
            collection=self._collection,
            dry_run=False,
            counts=progress.counts.as_dict(),
            seconds=time.monotonic() - progress.started,
            stages=progress.waits.as_dict(),
            parity="not proven",
            dead_letters=len(last.record.dead_letters.ids) if last else 0,
            lag_seconds=self._lag.seconds,
            behind=self._lag.rows,
            proof_age_seconds=self._proof_age_seconds,
            watermark_xid=last.moved_to.xid if last and last.moved_to else None,
            latency_p50=latencies.quantile(0.5) if latencies else None,
            latency_p99=latencies.quantile(0.99) if latencies else None,
            ended=self.ended,
            comparison_needed=self.comparison_needed,
        )
