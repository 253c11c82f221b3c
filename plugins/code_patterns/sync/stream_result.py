"""The result of a stream, or of some seconds of it."""

import time
from dataclasses import dataclass, fields
from typing import Any

from code_patterns.sync.sync_result import Counts, SyncResult, Waits


class Progress:
    """What was done since some time: the counts of several drains, added up."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.counts = Counts()
        self.waits = Waits()

    def add(self, counts: Counts, waits: Waits) -> None:
        """Add one drain."""
        for mine, more in ((self.counts, counts), (self.waits, waits)):
            for field in fields(mine):
                setattr(mine, field.name, getattr(mine, field.name) + getattr(more, field.name))


@dataclass(frozen=True)
class StreamResult(SyncResult):
    """What a stream did.

    :param latency_p50: half of the changes could be found so many seconds after their commit; ``None`` without changes
    :param latency_p99: the same of 99 in 100 changes
    :param ended: why it ended, in words; empty while it works
    :param comparison_needed: whether only a run that compares everything can go on
    """

    latency_p50: float | None
    latency_p99: float | None
    ended: str
    comparison_needed: bool

    def as_xcom(self) -> dict[str, Any]:
        """Counts, times and words only: never a row, a vector or a secret."""
        return {
            **super().as_xcom(),
            "latency_p50": _rounded(self.latency_p50),
            "latency_p99": _rounded(self.latency_p99),
            "ended": self.ended,
            "comparison_needed": self.comparison_needed,
        }

    def recorded(self) -> dict[str, float | None]:
        """Counts, seconds by stage and latencies, as the history stores them."""
        return {**self.counts, **self.stages, "latency_p50": self.latency_p50, "latency_p99": self.latency_p99}

    def summary(self) -> str:
        """The result in one line."""
        latency = ""
        if self.latency_p50 is not None and self.latency_p99 is not None:
            latency = f"; found after {self.latency_p50:.2f} s (p50), {self.latency_p99:.2f} s (p99)"
        return f"{super().summary()}{latency}{f'; ended: {self.ended}' if self.ended else ''}"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
