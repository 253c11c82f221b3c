"""The same jobs for this project, CocoIndex and pgai: ``PYTHONPATH=plugins python -m benchmarks.peers_table``.

Each tool has a database and a collection of its own, with the same rows. Each job is done by all of them in turns, so
that noise of the machine meets all alike. It needs a Qdrant server on this machine (PATTERNS_TEST_QDRANT_URL; with
PATTERNS_TEST_QDRANT_GRPC_PORT CocoIndex writes over gRPC). It prints two Markdown tables and keeps them in
``results.json``.
"""

import argparse
import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.contenders import CONTENDERS, OURS, Contender, Differences, Outcome
from benchmarks.jobs import until_indexed
from benchmarks.patterns import change
from benchmarks.peers_trouble import behind_its_back, delete_some, ended, killed, own, poisoned, race
from benchmarks.results import save
from benchmarks.servers import JobError, Servers, embedding_server
from benchmarks.stream import Side, opened_sides
from benchmarks.stream_ways import WAYS
from benchmarks.table import MEBIBYTE, NEEDS_SERVER, Row, grid
from benchmarks.workload import Workload

CHANGED = 100
LIVE_PER_SECOND = 5
FIRST, AGAIN, AFTER_CHANGE, AFTER_DELETE = "first load", "re-run", "changed", "deleted"
TIMED = {
    f"{FIRST}, s": (FIRST, lambda outcome: outcome.measurement.seconds),
    "its processor time, s": (FIRST, lambda outcome: outcome.measurement.cpu_seconds),
    "processor time of PostgreSQL and Qdrant meanwhile, s": (FIRST, lambda outcome: outcome.servers_seconds),
    "its most memory, MiB": (FIRST, lambda outcome: outcome.measurement.peak_bytes / MEBIBYTE),
    "re-run with nothing changed, s": (AGAIN, lambda outcome: outcome.measurement.seconds),
    "its processor time in that, s": (AGAIN, lambda outcome: outcome.measurement.cpu_seconds),
    f"run after {CHANGED} rows were changed, s": (AFTER_CHANGE, lambda outcome: outcome.measurement.seconds),
    f"run after {CHANGED} rows were deleted, s": (AFTER_DELETE, lambda outcome: outcome.measurement.seconds),
}
GOALS: Mapping[int, Mapping[str, str]] = {
    5_000: {
        "cocoindex documented": "≥ 1.25",
        "cocoindex tuned": "≥ 1.04",
        "pgai documented": "≥ 4.8",
        "pgai tuned": "≥ 1.2",
    },
    50_000: {"cocoindex tuned": "≥ 1.03"},
}
"""How many times as fast as each peer a first load should be, by rows."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    :param rows: rows that are loaded and timed
    :param rounds: how often
    :param troubled: rows of a table that meets trouble
    :param live_seconds: how long rows are committed for the latencies; 0 leaves them out
    """

    rows: int
    rounds: int
    troubled: int
    live_seconds: float


SIZES = {
    "tiny": Size(500, 1, 500, 0),
    "small": Size(5_000, 2, 2_000, 10),
    "large": Size(50_000, 1, 5_000, 20),
}


@dataclass
class Seen:
    """What was seen of one tool.

    :param timed: its runs, by job
    :param told: what was observed, by line of the table
    """

    timed: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    told: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def median(self, line: str) -> float | None:
        """The median of one quantity, a key of ``TIMED``; ``None`` if a run failed."""
        job, read = TIMED[line]
        outcomes = self.timed[job]
        if not outcomes or any(outcome.measurement is None or outcome.status != 0 for outcome in outcomes):
            return None
        return statistics.median(map(read, outcomes))


def main() -> None:
    """Measure, print the tables, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers_table", description=__doc__)
    parser.add_argument(
        "--size", choices=SIZES, default="small", help="tiny takes five minutes, small twenty, large an hour"
    )
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="leave the others out, keep nothing")
    arguments = parser.parse_args()
    # When it is ended from outside, it still stops the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended."))
    if not os.environ.get("PATTERNS_TEST_QDRANT_URL"):
        print(f"The comparison with peers {NEEDS_SERVER}; nothing is measured.", file=sys.stderr)
        return
    size, load = SIZES[arguments.size], os.getloadavg()[0]
    chosen = [each for each in CONTENDERS if each.name in arguments.only and _is_installed(each)]
    seen = {contender.name: Seen() for contender in chosen}
    try:
        with Servers.running() as servers:
            for done in _stages(servers, chosen, seen, size):
                loads = max(len(each.timed[FIRST]) for each in seen.values())
                conditions = (
                    f"{servers.qdrant}; {size.rows:,} rows, first loads {loads} times (median), other runs once, "
                    f"{size.troubled:,} rows where something goes wrong; load average {load:.1f} before, "
                    f"{os.getloadavg()[0]:.1f} at the end"
                )
                comparison = [list(line) for line in _comparison(chosen, seen)]
                print(f"Kept: {done}", file=sys.stderr)
                if len(chosen) == len(CONTENDERS):
                    save("peers", conditions, list(_rows(seen, size)), size=arguments.size, comparison=comparison)
                else:
                    print(grid(comparison[0], comparison[1:]))
    except JobError as error:
        sys.exit(f"The benchmark stopped: {error}")


def _stages(servers: Servers, chosen: Sequence[Contender], seen: dict[str, Seen], size: Size) -> Iterator[str]:
    """Measure stage by stage; what each has measured is kept, because all of them take long."""
    _timed(servers, chosen, seen, size, whole=True)
    yield "what was timed"
    _troubled(servers, chosen, seen, size)
    yield "what went wrong"
    if size.live_seconds:
        _live(servers, chosen, seen, size)
        yield "latencies"
    for round_ in range(1, size.rounds):
        _timed(servers, chosen, seen, size, whole=False)
        yield f"round {round_ + 1} of the first loads"


def _is_installed(contender: Contender) -> bool:
    if not contender.python.exists():
        print(f"{contender.title}: no environment {contender.python}; left out.", file=sys.stderr)
    return contender.python.exists()


def _timed(servers: Servers, chosen: Sequence[Contender], seen: dict[str, Seen], size: Size, *, whole: bool) -> None:
    """Do the jobs that are timed, and then harm to the points; or only the first load."""
    with ExitStack() as stack:
        of = {each.name: stack.enter_context(own(servers, size.rows)) for each in chosen}

        def timed(job: str, contender: Contender, arguments: Sequence[str]) -> str:
            workload, folder = of[contender.name]
            outcome = contender.run(workload, folder, arguments)
            seen[contender.name].timed[job].append(outcome)
            if contender is OURS and (outcome.measurement is None or outcome.status != 0):
                raise JobError(f"{job} ended with status {outcome.status}: {outcome.output}")
            if outcome.measurement is None:
                return f"{ended(outcome)}: {outcome.output}"
            told = f"{outcome.measurement.seconds:.2f} s, processor {outcome.measurement.cpu_seconds:.2f} s"
            wrong = Differences.between(contender, workload)
            seen[contender.name].told["points that are wrong after these runs"].append(str(wrong))
            if not contender.in_postgres:
                until_indexed(workload)
            return f"{told}, {ended(outcome)}, {wrong}"

        def after_change(contender: Contender) -> str:
            change(of[contender.name][0].dsn, CHANGED, f"changed for {contender.name}")
            return timed(AFTER_CHANGE, contender, contender.again)

        def after_delete(contender: Contender) -> str:
            workload, _ = of[contender.name]
            delete_some(workload, CHANGED)
            line = f"points of {CHANGED} deleted rows that are left over at the commit"
            seen[contender.name].told[line].append(f"{Differences.between(contender, workload).left}")
            return timed(AFTER_DELETE, contender, contender.again)

        _phase(FIRST, chosen, lambda each: timed(FIRST, each, each.first))
        if not whole:
            return
        _phase(AGAIN, chosen, lambda each: timed(AGAIN, each, each.first))
        _phase(AFTER_CHANGE, chosen, after_change)
        _phase(AFTER_DELETE, chosen, after_delete)
        for line, harm in (
            ("one point deleted and the text of one edited behind its back", Contender.tamper),
            ("the collection, or the table of the vectors, dropped", Contender.drop),
        ):

            def harmed(contender: Contender, harm: Callable[[Contender, Workload], None] = harm) -> str:
                return behind_its_back(contender, *of[contender.name], harm)

            _told(line, chosen, seen, harmed)


def _troubled(servers: Servers, chosen: Sequence[Contender], seen: dict[str, Seen], size: Size) -> None:
    for line, trouble in (
        ("the embedding server refuses one text (400)", poisoned),
        ("rows changed, deleted and inserted during the first load", race),
        ("killed with SIGKILL in the middle of the first load", killed),
    ):
        _told(line, chosen, seen, lambda each, trouble=trouble: trouble(servers, each, size.troubled))


def _live(servers: Servers, chosen: Sequence[Contender], seen: dict[str, Seen], size: Size) -> None:
    """Measure the latencies of those that work while rows are committed, as the stream's benchmark does."""
    by_way = {contender.live: contender for contender in chosen if contender.live}
    with ExitStack() as stack:
        free = stack.enter_context(embedding_server(0, 0))
        measured: list[Side] = list(opened_sides(stack, servers, free, [way for way in WAYS if way.name in by_way]))
        latency = {by_way[side.way.name].name: side for side in measured}
        _told(
            f"live, {LIVE_PER_SECOND} commits/s, embedding at no cost: commit → found, median / 99 of 100, s",
            [each for each in chosen if each.name in latency],
            seen,
            lambda each: latency[each.name].rate(LIVE_PER_SECOND, size.live_seconds),
        )


def _told(line: str, chosen: Sequence[Contender], seen: dict[str, Seen], observe: Callable[[Contender], str]) -> None:
    def observed(contender: Contender) -> str:
        told = observe(contender)
        seen[contender.name].told[line].append(told)
        return told

    _phase(line, chosen, observed)


def _phase(name: str, chosen: Sequence[Contender], done: Callable[[Contender], str]) -> None:
    print(name, file=sys.stderr)
    for contender in chosen:
        begun = time.perf_counter()
        told = done(contender)
        took = time.perf_counter() - begun
        print(f"  {contender.name}: {told} ({took:.0f} s)", file=sys.stderr, flush=True)


def _comparison(chosen: Sequence[Contender], seen: Mapping[str, Seen]) -> Iterator[Sequence[str]]:
    """The header, and a line for each job."""
    yield ("", *(contender.title for contender in chosen))
    for line in TIMED:
        yield (line, *(_shown(seen[contender.name].median(line)) for contender in chosen))
    for line in dict.fromkeys(line for each in seen.values() for line in each.told):
        yield (line, *("; ".join(dict.fromkeys(seen[contender.name].told[line])) for contender in chosen))


def _shown(value: float | None) -> str:
    return "failed" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _rows(seen: Mapping[str, Seen], size: Size) -> Iterator[Row]:
    """The lines that have a target."""
    goals = GOALS.get(size.rows, {})
    load, processor, _, _, _, _, changed, _ = TIMED
    ours = seen[OURS.name]
    for contender in CONTENDERS[1:]:
        if contender.name in seen:
            name, goal = f"first load of {size.rows:,}, beside {contender.title}", goals.get(contender.name, "")
            yield _ratio(name, seen[contender.name].median(load), ours.median(load), "times", goal)
    tuned = seen.get("cocoindex tuned")
    if tuned:
        name = f"processor time of the first load of {size.rows:,}, of CocoIndex's, tuned"
        yield _ratio(name, ours.median(processor), tuned.median(processor), "share", "≤ 0.13")
    yield Row(f"hourly run after {CHANGED} of {size.rows:,} rows were changed", ours.median(changed), "s", "≤ 0.15")


def _ratio(name: str, one: float | None, other: float | None, unit: str, target: str) -> Row:
    if one is None or other is None:
        return Row(name, None, unit, target, "a run failed")
    return Row(name, one / other, unit, target, f"{one:.2f} s, {other:.2f} s")


if __name__ == "__main__":
    main()
