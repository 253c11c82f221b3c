"""What was measured of each way, as tables."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.stream_traffic import Latencies
from benchmarks.table import Row

PATTERNS = 5_000
"""Rows that are there before; as many come in a burst."""
BURST_PER_SECOND = 5
SLOW_PER_SECOND = 5
KINDS = {"config": "rows without a point", "code": "rows with a point"}
"""What the writers commit: for the first a way has nothing to embed, so what it costs them is its trigger and its
reading; for the second it also makes and stores points, on the processors that the writers use too."""
APART = "rows without a point, writers and PostgreSQL on processors of their own"


@dataclass(frozen=True)
class Burst:
    """One burst.

    :param first_load: patterns per second of a full sync into an empty collection, just before
    :param same_load: patterns per second of a full sync of such a burst into the same collection, just before; ``None``
        if the sync did not make that collection
    :param drained: seconds until all was found
    :param during: latencies of rows that were committed meanwhile
    """

    first_load: float
    same_load: float | None
    drained: float
    during: Latencies

    @property
    def rate(self) -> float:
        """Patterns per second."""
        return PATTERNS / self.drained


@dataclass
class Seen:
    """What was measured of one way.

    :param rates: by commits per second
    :param slow: with the embedding server
    :param bursts: the bursts
    :param writers: commits per second without it and with it, by kind of row and round
    :param apart: the same for rows without a point, when it has processors of its own
    :param idle: processor seconds, and transactions of PostgreSQL, in each second
    """

    rates: dict[int, Latencies] = field(default_factory=dict)
    slow: Latencies = field(default_factory=lambda: Latencies([], 0))
    bursts: list[Burst] = field(default_factory=list)
    writers: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    apart: list[tuple[float, float]] = field(default_factory=list)
    idle: tuple[float, float] = (math.nan, math.nan)

    @property
    def drain(self) -> float:
        """The rate of a burst, over that of the full sync into an empty collection."""
        return statistics.median(one.rate / one.first_load for one in self.bursts)

    @property
    def drain_beside_same(self) -> float:
        """The rate of a burst, over that of the full sync of such a burst into the same collection."""
        return statistics.median(one.rate / one.same_load for one in self.bursts if one.same_load)

    @property
    def during(self) -> Latencies:
        """Latencies of the rows that were committed during the bursts."""
        seconds = sorted(second for one in self.bursts for second in one.during.seconds)
        return Latencies(seconds, sum(one.during.lost for one in self.bursts))


def over_without(rates: Sequence[tuple[float, float]]) -> float:
    """The writers' commits per second with a way, over without.

    :param rates: without and with it, by round
    """
    return statistics.median(on / off for off, on in rates)


def rows_of(seen: Seen) -> Iterator[Row]:
    """The rows of the stream, with their targets."""
    name = "commit → found at 5 commits/s, {}"
    for title, found in (("hashing embedder", seen.rates[5]), ("embedding server of 20 ms + 5 ms", seen.slow)):
        note = f"{len(found.seconds):,} rows" + (f", {found.lost} lost" if found.lost else "")
        yield Row(f"{name.format(title)}: median", found.quantile(0.5), "s", "≤ 0.3", note)
        yield Row(f"{name.format(title)}: 99 of 100", found.quantile(0.99), "s", "≤ 1", note)
    rate, same_load, first_load = (
        statistics.median(getattr(one, what) for one in seen.bursts) for what in ("rate", "same_load", "first_load")
    )
    name, bursts = f"drain of a burst of {PATTERNS:,}, beside a full sync", f"{len(seen.bursts)} bursts"
    note = f"{rate:.0f} patterns/s, {same_load:.0f} patterns/s; {bursts}"
    yield Row(f"{name} of such a burst into the same collection", seen.drain_beside_same, "times", "", note)
    note = f"{rate:.0f} patterns/s, {first_load:.0f} patterns/s; {bursts}"
    yield Row(f"{name} into an empty collection", seen.drain, "times", "≥ 0.8", note)
    name = f"commit → found at {BURST_PER_SECOND} commits/s during the burst: 99 of 100"
    yield Row(name, seen.during.quantile(0.99), "s", "≤ 3", f"{len(seen.during.seconds)} rows")
    name = "commits/s of four writers with the stream, beside without: {}"
    kinds = {rows: seen.writers[kind] for kind, rows in KINDS.items()} | {APART: seen.apart}
    for rows, rates in kinds.items():
        if rates:
            off, on = (statistics.median(some) for some in zip(*rates, strict=True))
            target = "≥ 0.97" if rows == APART else ""
            yield Row(name.format(rows), over_without(rates), "times", target, f"{on:.0f}, {off:.0f} commits/s")
    cpu, transactions = seen.idle
    yield Row("processor time of the idle stream, of one core", 100 * cpu, "%", "≤ 2")
    yield Row("transactions of PostgreSQL for the idle stream", transactions, "per s", "≤ 4")


def comparison_of(seen_of: Mapping[str, Seen]) -> Iterator[Sequence[str]]:
    """The header, and a line for each way; latencies are the median and 99 of 100, in seconds.

    :param seen_of: what was measured, by the title of the way
    """
    rates = sorted({rate for seen in seen_of.values() for rate in seen.rates})
    yield (
        "commit → found, median / 99 of 100, s",
        *(f"{rate} commits/s" for rate in rates),
        f"{SLOW_PER_SECOND} commits/s, embedding server",
        f"{BURST_PER_SECOND} commits/s in a burst",
        f"burst of {PATTERNS:,}, beside a full sync into an empty collection",
        *(f"four writers, with over without, {rows}" for rows in (*KINDS.values(), APART)),
        "idle: of a core",
        "idle: transactions/s",
    )
    for title, seen in seen_of.items():
        cpu, transactions = seen.idle
        yield (
            title,
            *(both(seen.rates[rate]) for rate in rates),
            both(seen.slow),
            both(seen.during),
            f"{seen.drain:.2f}",
            *(f"{over_without(rates):.2f}" if rates else "" for rates in (*seen.writers.values(), seen.apart)),
            f"{cpu:.1%}",
            f"{transactions:.1f}",
        )
    yield ("the hourly run, by its timetable", *["1,800 / 3,600"] * (len(rates) + 2), "1", "", "", "", "0%", "0")


def both(found: Latencies) -> str:
    """The median and 99 of 100, and what was lost."""
    lost = f", {found.lost} lost" if found.lost else ""
    return " / ".join(f"{found.quantile(share):.3g}" for share in (0.5, 0.99)) + lost
