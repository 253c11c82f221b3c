"""What a run found and did: counts, progress lines, the final table."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal
from uuid import UUID

log = logging.getLogger(__name__)

Parity = Literal["proven", "not proven", "broken"]
Kind = Literal["incremental", "full", "interval", "verify", "shard"]

FIRST_PROGRESS_SECONDS = 10.0
PROGRESS_SECONDS = 30.0


@dataclass(slots=True)
class Counts:
    """Patterns by outcome.

    :param examined: rows and deletions looked at
    :param new: patterns Qdrant did not have
    :param changed: patterns whose text changed, so that they were embedded again
    :param payload_only: patterns whose payload changed and whose vector stayed
    :param unchanged: patterns that were as they should be
    :param deleted: points taken out of Qdrant
    :param parked: rows that became dead letters
    :param embedded_texts: distinct texts that were embedded
    """

    examined: int = 0
    new: int = 0
    changed: int = 0
    payload_only: int = 0
    unchanged: int = 0
    deleted: int = 0
    parked: int = 0
    embedded_texts: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(slots=True)
class Waits:
    """Seconds that batches waited for a server, added up: several batches wait at the same time.

    :param embed: for vectors
    :param upsert: for writes to Qdrant
    """

    embed: float = 0.0
    upsert: float = 0.0


@dataclass(frozen=True)
class SyncResult:
    """The outcome of one run.

    :param run_id: its id in ``pattern_sync_runs``; ``None`` for a dry run, which leaves no row there
    :param kind: which kind of run it was
    :param collection: the collection, as users write it
    :param dry_run: whether it only looked
    :param counts: patterns by outcome
    :param seconds: duration
    :param embed_seconds: what batches waited for vectors, added up
    :param upsert_seconds: what batches waited for writes to Qdrant, added up
    :param parity: whether both sides were shown to agree: ``proven``, ``not proven`` (a run that does not look at
        everything) or ``broken``
    :param dead_letters: rows parked as dead letters when the run ended, earlier ones included
    :param lag_seconds: age of the oldest change that was left to the next run
    :param watermark_xid: where the next incremental run begins, or ``None`` when this run left it alone
    """

    run_id: UUID | None
    kind: Kind
    collection: str
    dry_run: bool
    counts: Mapping[str, int]
    seconds: float
    embed_seconds: float
    upsert_seconds: float
    parity: Parity
    dead_letters: int
    lag_seconds: float
    watermark_xid: int | None

    @property
    def patterns_per_second(self) -> float:
        """Examined rows per second."""
        return self.counts["examined"] / self.seconds if self.seconds else 0.0

    def as_xcom(self) -> dict[str, Any]:
        """Counts and ids only: never a row, a vector or a secret."""
        return {
            "run_id": str(self.run_id) if self.run_id else None,
            "kind": self.kind,
            "collection": self.collection,
            "dry_run": self.dry_run,
            **self.counts,
            "seconds": round(self.seconds, 3),
            "patterns_per_second": round(self.patterns_per_second, 1),
            "embed_seconds": round(self.embed_seconds, 3),
            "upsert_seconds": round(self.upsert_seconds, 3),
            "parity": self.parity,
            "dead_letters": self.dead_letters,
            "lag_seconds": round(self.lag_seconds, 1),
            "watermark_xid": self.watermark_xid,
        }

    def table(self) -> str:
        """The result for the task log."""
        rows = [(key.replace("_", " "), value) for key, value in self.as_xcom().items()]
        width = max(len(key) for key, _ in rows)
        verb = "would do (dry run: nothing was written)" if self.dry_run else "did"
        lines = "\n".join(f"  {key:<{width}}  {'-' if value is None else value}" for key, value in rows)
        run = "verification" if self.kind == "verify" else f"{self.kind} sync"
        return f"What the {run} {verb}:\n{lines}"


class Progress:
    """Logs how far a run is, at a humane pace.

    :param total: rows to look at, as far as known
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = time.monotonic()
        self._next = self._start + FIRST_PROGRESS_SECONDS

    def show(self, counts: Counts) -> None:
        """Log a line when it is time for one."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_SECONDS
        rate = counts.examined / (now - self._start)
        left = max(self._total - counts.examined, 0) / rate if rate else 0.0
        log.info(
            "%s of %s patterns looked at (%.0f %%), %.0f per second, about %s left; %s written, %s parked.",
            f"{counts.examined:,}",
            f"{self._total:,}",
            100 * counts.examined / self._total if self._total else 100,
            rate,
            _duration(left),
            f"{counts.new + counts.changed + counts.payload_only + counts.deleted:,}",
            f"{counts.parked:,}",
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
