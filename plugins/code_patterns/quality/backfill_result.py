"""The result of a backfill: counts, tiers, averages, failures."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from code_patterns import log_table
from code_patterns.quality.dimensions import TIERS, WEIGHTS
from code_patterns.quality.score import QualityScore

MAX_REASONS = 10
"""Most reasons of failures that are counted separately."""
OTHER_REASONS = "other reasons"


@dataclass(slots=True)
class Tally:
    """Running sums of one backfill; their size does not depend on the number of points."""

    found: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    scored: int = 0
    stored: int = 0
    tiers: Counter[str] = field(default_factory=Counter)
    tier_sums: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    parsers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, score: QualityScore) -> None:
        """Count one score."""
        self.scored += 1
        self.tiers[score.tier] += 1
        self.tier_sums[score.tier] += score.composite  # type: ignore[assignment]
        self.parsers[score.reading.parser] += 1
        for name, value in score.dimensions.items():
            self.sums[name] += value  # type: ignore[assignment]

    def fail(self, reason: str) -> None:
        """Count one score that was not stored."""
        known = reason in self.failures or len(self.failures) < MAX_REASONS
        self.failures[reason if known else OTHER_REASONS] += 1

    @property
    def failed(self) -> int:
        """Scores that were not stored."""
        return self.failures.total()

    def average_of(self, tier: str) -> float | None:
        """Mean composite of a tier, or ``None`` if it has no pattern."""
        return round(self.tier_sums[tier] / self.tiers[tier], 4) if self.tiers[tier] else None

    @property
    def average(self) -> float | None:
        """Mean composite, or ``None`` if nothing was scored."""
        return round(sum(self.tier_sums.values()) / self.scored, 4) if self.scored else None


@dataclass(frozen=True)
class BackfillResult:
    """The outcome of one run.

    :param run_id: its id in ``pattern_quality_runs``; ``None`` for a dry run, which is not recorded
    :param version: version of the definitions, and the weight of ONEX if that is not the usual one
    :param dry_run: whether it stored nothing
    :param found: points read, by collection
    :param skipped: points that had a score of this version for this content
    :param scored: points scored
    :param stored: scores written
    :param failed: scores the database refused
    :param tiers: number of points and average score, by tier
    :param dimensions: averages of the five dimensions
    :param parsers: number of points by parser
    :param failures: number of failures by reason
    :param average_score: mean composite, or ``None`` if nothing was scored
    :param seconds: duration
    :param note: what a person should know although the run succeeded
    """

    run_id: UUID | None
    version: str
    dry_run: bool
    found: Mapping[str, int]
    skipped: int
    scored: int
    stored: int
    failed: int
    tiers: Mapping[str, tuple[int, float | None]]
    dimensions: Mapping[str, float]
    parsers: Mapping[str, int]
    failures: Mapping[str, int]
    average_score: float | None
    seconds: float
    note: str | None

    @classmethod
    def of(
        cls, tally: Tally, *, version: str, run_id: UUID | None, dry_run: bool, seconds: float, note: str | None
    ) -> "BackfillResult":
        """Make a result of a tally."""
        return cls(
            run_id=run_id,
            version=version,
            dry_run=dry_run,
            found=dict(tally.found),
            skipped=tally.skipped,
            scored=tally.scored,
            stored=tally.stored,
            failed=tally.failed,
            tiers={name: (tally.tiers[name], tally.average_of(name)) for name, _ in TIERS},
            dimensions={name: round(tally.sums[name] / tally.scored, 4) for name in WEIGHTS if tally.scored},
            parsers=dict(tally.parsers),
            failures=dict(tally.failures),
            average_score=tally.average,
            seconds=seconds,
            note=note,
        )

    @property
    def patterns_per_second(self) -> float:
        """Points read per second."""
        return sum(self.found.values()) / self.seconds if self.seconds else 0.0

    def details(self) -> dict[str, Any]:
        """What has no column in the run history."""
        return {
            "collections": dict(self.found),
            "tiers": {name: {"patterns": count, "average": mean} for name, (count, mean) in self.tiers.items()},
            "dimensions": dict(self.dimensions),
            "parsers": dict(self.parsers),
            "failures": dict(self.failures),
            "seconds": round(self.seconds, 3),
            "patterns_per_second": round(self.patterns_per_second, 1),
        }

    def as_row(self) -> dict[str, Any]:
        """The parameters of ``quality_finish_run.sql`` that this knows."""
        return {
            "found": sum(self.found.values()),
            "skipped": self.skipped,
            "scored": self.scored,
            "stored": self.stored,
            "failed": self.failed,
            **{name: count for name, (count, _) in self.tiers.items()},
            "average_score": self.average_score,
            "details": self.details(),
            "note": self.note,
        }

    def as_xcom(self) -> dict[str, Any]:
        """Counts, averages and ids only, each under one name: never a pattern or a secret."""
        row = self.as_row()
        del row["details"]
        return {
            "run_id": str(self.run_id) if self.run_id else None,
            "version": self.version,
            "dry_run": self.dry_run,
            **row,
            **{f"found_in_{name}": count for name, count in self.found.items()},
            **{f"average_{name}": mean for name, mean in self.dimensions.items()},
            "seconds": round(self.seconds, 3),
            "patterns_per_second": round(self.patterns_per_second, 1),
        }

    def summary(self) -> str:
        """The result in one line."""
        tiers = ", ".join(f"{count:,} {name}" for name, (count, _) in self.tiers.items() if count)
        stored = "would be stored" if self.dry_run else "stored"
        told = [
            f"{'Dry run: ' if self.dry_run else ''}{self.scored if self.dry_run else self.stored:,} scores {stored}"
            + (f" ({tiers})" if tiers else ""),
            f"{self.skipped:,} had one" if self.skipped else "",
            f"{self.failed:,} refused" if self.failed else "",
        ]
        return ", ".join(part for part in told if part)

    def table(self) -> str:
        """The result for the task log."""
        verb = "found (dry run: nothing was stored)" if self.dry_run else "did"
        lines = [f"What the quality backfill {verb}, by version {self.version} of the definitions:"]
        lines += [log_table.row(f"found in {name}", count) for name, count in self.found.items()]
        lines += [log_table.row(name, getattr(self, name)) for name in ("skipped", "scored", "stored", "failed")]
        lines += [log_table.row("patterns per second", round(self.patterns_per_second, 1)), ""]
        lines.append(log_table.row("tier", "patterns", "share", "average"))
        for name, (count, mean) in self.tiers.items():
            share = count / self.scored if self.scored else 0.0
            lines.append(log_table.row(name, count, f"{share:.1%}", None if mean is None else f"{mean:.3f}"))
        if self.average_score is not None:
            lines += ["", log_table.row("dimension", "average")]
            lines += [log_table.row(name, f"{value:.3f}") for name, value in self.dimensions.items()]
            lines.append(log_table.row("composite", f"{self.average_score:.3f}"))
        if self.failures:
            lines += ["", "  not stored:"]
            lines += [f"  {count:>8,}  {reason}" for reason, count in self.failures.items()]
        return "\n".join(lines)
