"""What is measured, and in which order: each side runs once per round, so noise meets all of them alike."""

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.jobs import unindexed
from benchmarks.patterns import change
from benchmarks.servers import Measurement, Servers, measure, measure_peer
from benchmarks.workload import Workload

Read = Callable[[Measurement], float]


@dataclass(frozen=True)
class Size:
    """How much is measured.

    :param patterns: patterns of a first sync
    :param singles: patterns of the slow job that sends one request for each
    :param rounds: how often the quick jobs run
    :param slow_rounds: how often the slow ones run
    :param small: rows of the small table
    :param large: rows of the large table
    """

    patterns: int
    singles: int
    rounds: int
    slow_rounds: int
    small: int
    large: int


SIZES = {
    "small": Size(patterns=5_000, singles=500, rounds=2, slow_rounds=1, small=10_000, large=50_000),
    "large": Size(patterns=5_000, singles=1_000, rounds=3, slow_rounds=2, small=10_000, large=1_000_000),
}


class Measurements:
    """All measurements of one name, by round."""

    def __init__(self) -> None:
        self._of: dict[str, dict[int, Measurement]] = defaultdict(dict)

    def add(self, name: str, round_: int, measurement: Measurement) -> None:
        """Keep one measurement and print it: a whole run takes long."""
        self._of[name][round_] = measurement
        print(
            f"  {name}: {measurement.seconds:.2f} s, processor {measurement.cpu_seconds:.2f} s, "
            f"peak {measurement.peak_bytes / 2**20:.0f} MiB",
            file=sys.stderr,
            flush=True,
        )

    def has(self, *names: str) -> bool:
        """Whether all of these were measured."""
        return all(name in self._of for name in names)

    def median(self, name: str, read: Read) -> float:
        """The median of one quantity."""
        return statistics.median(read(measurement) for measurement in self._of[name].values())

    def ratio(self, one: str, other: str, read: Read) -> float:
        """The median of the ratios within each round that has both."""
        pairs = [
            (self._of[one][round_], self._of[other][round_]) for round_ in self._of[one] if round_ in self._of[other]
        ]
        return statistics.median(read(first) / read(second) for first, second in pairs)

    def details(self, name: str) -> dict[str, Any]:
        """The details of the last measurement of one name."""
        return list(self._of[name].values())[-1].details


def first_syncs(servers: Servers, size: Size, seen: Measurements) -> None:
    """Measure first syncs and re-runs, ours and the peers', and the limits of the parts."""
    with servers.database(size.patterns) as workload:
        for round_ in range(size.rounds):
            print(f"Round {round_ + 1} of {size.rounds}", file=sys.stderr)
            seen.add("embedding limit", round_, measure(workload, "embedding-limit"))
            _twice(servers, workload, seen, round_, "sync", lambda own: measure(own, "sync", "full", "ollama"))
            with servers.collection(workload) as own:
                seen.add("upload", round_, measure(own, "upload-limit", "client"))
            with servers.collection(workload) as own:
                seen.add("sync hashing", round_, measure(own, "sync", "full", "hashing"))
            for api in ("ollama", "hashing"):
                with servers.collection(workload) as own:
                    job = measure(own, "sync-without-words", "full", api)
                    seen.add(f"sync {api} without words", round_, job)
            if servers.qdrant_url:
                with servers.collection(workload) as own:
                    seen.add("upload bodies", round_, measure(own, "upload-limit", "bodies"))
                with servers.collection(workload) as own:
                    seen.add("langchain x4", round_, measure_peer("langchain", own, "4"))
                with servers.collection(workload) as own:
                    seen.add("llamaindex tuned", round_, measure_peer("llamaindex", own, "tuned"))
            seen.add("hashing", round_, measure(workload, "hashing"))
            if round_ < size.slow_rounds:
                _twice(servers, workload, seen, round_, "langchain", lambda own: measure_peer("langchain", own, "1"))
                _twice(
                    servers,
                    workload,
                    seen,
                    round_,
                    "llamaindex",
                    lambda own: measure_peer("llamaindex", own, "documented"),
                )
                with servers.collection(replace(workload, count=size.singles)) as own:
                    seen.add("one request each", round_, measure(own, "one-request-each"))


def _twice(
    servers: Servers,
    workload: Workload,
    seen: Measurements,
    round_: int,
    name: str,
    run: Callable[[Workload], Measurement],
) -> None:
    with servers.collection(workload) as own:
        seen.add(name, round_, run(own))
        servers.settle(own)
        seen.add(f"{name} again", round_, run(own))


def growth(servers: Servers, size: Size, seen: Measurements) -> None:
    """Run the same jobs on a small and on a large table, without an index over the vectors: the server makes that."""
    with (
        servers.database(size.small) as few,
        servers.database(size.large) as many,
        servers.collection(few) as small,
        servers.collection(many) as large,
    ):
        both: Sequence[tuple[str, Workload]] = (("small", small), ("large", large))
        for name, workload in both:
            unindexed(workload)
            print(f"The {name} table, {workload.count:,} rows", file=sys.stderr)
            seen.add(f"{name} first", 0, measure(workload, "sync", "full", "hashing"))
        for _, workload in both:
            servers.settle(workload)
        if servers.qdrant_url:
            for name, job in (("bodies", ("upload-limit", "bodies", "unindexed")), ("two", ("sync-in-shards", "2"))):
                with servers.collection(many) as own:
                    if name == "two":
                        unindexed(own)
                    seen.add(f"large {name}", 0, measure(own, *job))
        for round_ in range(size.rounds):
            for name, workload in both:
                seen.add(f"{name} unchanged", round_, measure(workload, "sync", "full", "hashing"))
        for round_ in range(size.rounds):
            for name, workload in both:
                change(workload.dsn, 100, f"round {round_}")
                seen.add(f"{name} hourly", round_, measure(workload, "sync", "incremental", "hashing"))
                servers.settle(workload)
