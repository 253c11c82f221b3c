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
    :param embedded_characters: characters of these texts, as they were before a text that is too long was cut
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
    embedded_characters: int = 0

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
    """Seconds by stage. Those of several batches are added up: they embed and write at the same time.

    :param read: waiting for changes: reading both sides and comparing them
    :param embed: waiting for vectors
    :param upsert: waiting for writes to Qdrant
    :param prove: proving that both sides agree
    """

    read: float = 0.0
    embed: float = 0.0
    upsert: float = 0.0
    prove: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """The seconds by name, such as ``read_seconds``."""
        return {f"{field.name}_seconds": getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class RunWork:
    """What a run did, or had done when it failed.

    :param kind: the kind of run
    :param collection: the collection, as users write it
    :param counts: patterns by outcome
    :param seconds: duration
    :param stages: seconds by stage; see :class:`Waits`
    """

    kind: str
    collection: str
    counts: Mapping[str, int]
    seconds: float
    stages: Mapping[str, float]


@dataclass(frozen=True)
class SyncResult(RunWork):
    """The result of one run.

    :param run_id: its id in ``pattern_sync_runs``; ``None`` for a dry run, which is not recorded
    :param dry_run: whether it wrote nothing
    :param parity: ``proven``, ``not proven`` (the run did not compare everything) or ``broken``
    :param dead_letters: open dead letters when the run ended, earlier ones included
    :param lag_seconds: age of the oldest change that was left to the next run
    :param behind: rows that were left to the next run
    :param proof_age_seconds: time since both sides were last proven equal; ``None`` if they never were
    :param watermark_xid: where the next incremental run starts, or ``None`` if this run did not move it
    """

    run_id: UUID | None
    dry_run: bool
    parity: Parity
    dead_letters: int
    lag_seconds: float
    behind: int
    proof_age_seconds: float | None
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
            **{name: round(seconds, 3) for name, seconds in self.stages.items()},
            "parity": self.parity,
            "dead_letters": self.dead_letters,
            "lag_seconds": round(self.lag_seconds, 1),
            "behind": self.behind,
            "proof_age_seconds": None if self.proof_age_seconds is None else round(self.proof_age_seconds, 1),
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
