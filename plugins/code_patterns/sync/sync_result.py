"""The result of a run: counts, and the table for the log."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal
from uuid import UUID

from code_patterns import log_table

Parity = Literal["proven", "not proven", "broken"]


@dataclass(slots=True)
class Counts:
    """Patterns by outcome.

    :param examined: rows and deletions that were compared
    :param new: patterns that Qdrant did not have
    :param changed: patterns that were embedded again because their text changed
    :param words_only: patterns whose words changed, and perhaps their payload, and whose vector stayed
    :param payload_only: patterns whose payload alone changed
    :param unchanged: patterns that needed nothing
    :param deleted: points deleted from Qdrant
    :param parked: rows that became dead letters
    :param embedded_texts: distinct texts that were embedded
    """

    examined: int = 0
    new: int = 0
    changed: int = 0
    words_only: int = 0
    payload_only: int = 0
    unchanged: int = 0
    deleted: int = 0
    parked: int = 0
    embedded_texts: int = 0

    @property
    def written(self) -> int:
        """Patterns that were changed in Qdrant."""
        return self.new + self.changed + self.words_only + self.payload_only + self.deleted

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


_SUMMARY = {
    "new": "new",
    "changed": "changed",
    "words_only": "with new words only",
    "payload_only": "with a new payload only",
    "deleted": "deleted",
    "parked": "parked",
}


@dataclass(slots=True)
class Waits:
    """Seconds that batches waited for a server, added up; several batches wait at the same time.

    :param embed: for vectors
    :param upsert: for writes to Qdrant
    """

    embed: float = 0.0
    upsert: float = 0.0


@dataclass(frozen=True)
class SyncResult:
    """The result of one run.

    :param run_id: its id in ``pattern_sync_runs``; ``None`` for a dry run, which is not recorded
    :param kind: the kind of run
    :param collection: the collection, as users write it
    :param dry_run: whether it wrote nothing
    :param counts: patterns by outcome
    :param seconds: duration
    :param embed_seconds: what batches waited for vectors, added up
    :param upsert_seconds: what batches waited for writes to Qdrant, added up
    :param parity: ``proven``, ``not proven`` (the run did not compare everything) or ``broken``
    :param dead_letters: open dead letters when the run ended, earlier ones included
    :param lag_seconds: age of the oldest change that was left to the next run
    :param watermark_xid: where the next incremental run starts, or ``None`` if this run did not move it
    """

    run_id: UUID | None
    kind: str
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
        shown = self.as_xcom()
        # An id is no number, and it is longer than any.
        run_id, watermark = shown.pop("run_id"), shown.pop("watermark_xid")
        # The rest stands in the heading, or in the summary.
        told = {"kind", "collection", "dry_run", "ended"}
        rows = [log_table.row(key.replace("_", " "), value) for key, value in shown.items() if key not in told]
        rows.append(log_table.row("watermark xid", None if watermark is None else str(watermark)))
        of_run = f", run {run_id}" if run_id else ""
        verb = "would do (dry run: nothing was written)" if self.dry_run else f"did{of_run}"
        run = "verification" if self.kind == "verify" else f"{self.kind} sync"
        return "\n".join([f"What the {run} of '{self.collection}' {verb}:", *rows])

    def summary(self) -> str:
        """The result in one line."""
        counts = self.counts
        told = [f"{counts[name]:,} {word}" for name, word in _SUMMARY.items() if counts[name]]
        if self.kind == "verify":
            told.insert(0, f"{counts['examined']:,} compared")
        parked = f", {self.dead_letters:,} parked in all" if self.dead_letters > counts["parked"] else ""
        return (
            f"{'Dry run: ' if self.dry_run else ''}{', '.join(told) or 'nothing has changed'}{parked}; "
            f"lag {self.lag_seconds:,.0f} s"
        )
