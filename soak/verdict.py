"""What a soak has shown, and what of it is wrong."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median

from soak.faults import Window, under_way
from soak.records import Answered, Connected, Held, RunSeen
from soak.trend import Slope, slope

MIB = 1 << 20
HOUR = 3600.0
GROWTH = 20.0
"""MiB per hour; a process is not flat if even the lower end of its slope's interval is above."""
SETTLED_SECONDS = 600.0
"""A process that was just started still fills its caches. Soaks of half an hour say nothing about memory."""
RUN_SECONDS = 120.0
"""A fault may be the reason for a failed run so long after it: tries and heartbeats take their time."""
SEARCH_SECONDS = 2.0
"""A search may fail so long after a fault: connections are opened anew."""
SILENT_SECONDS = 120.0
"""Searches that nobody has heard of for so long, though no fault was under way any more, have stopped."""
MORE = 8
"""So many more files, threads or connections than at the start are no leak: pools and workers fill as needed."""
MORE_SHARE = 0.5
"""Nor is so large a share: a session of PostgreSQL opens the files of the tables that it has met."""
FIRST = 6
KINDS = ("hourly", "nightly", "stream", "backfill", "scoring")


@dataclass(frozen=True)
class Record:
    """Everything that a soak has seen.

    :param seed: that chose the faults
    :param minutes: how long writers worked
    :param begin: seconds since the epoch, when they began
    :param end: when all was over
    :param living: from when on no fault ended a program
    :param warm: begin and end of the time that is compared with the last one
    :param quiet: begin and end of the last time, after everything had settled
    :param windows: the faults
    :param runs: all runs
    :param held: what every process held
    :param connected: connections
    :param lag: seconds that Qdrant was behind, by moment
    :param arrivals: of each change, seconds from commit to Qdrant
    :param searches: all searches
    :param commits: of the writers
    :param troubles: what went wrong, in one sentence each
    """

    seed: int
    minutes: float
    begin: float
    end: float
    living: float
    warm: tuple[float, float]
    quiet: tuple[float, float]
    windows: Sequence[Window]
    runs: Sequence[RunSeen]
    held: Sequence[Held]
    connected: Sequence[Connected]
    lag: Sequence[tuple[float, float]]
    arrivals: Sequence[float]
    searches: Sequence[Answered]
    commits: int
    troubles: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Flatness:
    """How the memory of a role's processes moved.

    :param role: the role
    :param mean: MiB
    :param slope: MiB per hour; ``None`` if there are too few samples
    """

    role: str
    mean: float
    slope: Slope | None

    @property
    def grows(self) -> bool:
        """Whether it surely grows."""
        return self.slope is not None and self.slope.low > GROWTH


@dataclass(frozen=True)
class Count:
    """How many of something a role held, at the start and at the end.

    :param what: role and thing
    :param warm: most of them at the start
    :param quiet: median of them at the end
    """

    what: str
    warm: int
    quiet: int

    @property
    def leaks(self) -> bool:
        """Whether there are more at the end."""
        return self.quiet > self.warm * (1 + MORE_SHARE) + MORE


def flatness(record: Record) -> Sequence[Flatness]:
    """Fit a slope to the memory of each role, over all its processes, while no fault ends a program."""
    found = []
    for role in sorted({sample.role for sample in record.held}):
        samples = [sample for sample in record.held if sample.role == role]
        segments = []
        for _, group in groupby(sorted(samples, key=lambda one: (one.pid, one.at)), key=lambda one: one.pid):
            points = [(sample.at, sample.memory / MIB) for sample in group]
            settled = max(points[0][0], record.living) + SETTLED_SECONDS
            segments.append([point for point in points if point[0] >= settled])
        fitted = slope(segments)
        hourly = fitted and Slope(fitted.value * HOUR, fitted.low * HOUR, fitted.high * HOUR)
        found.append(Flatness(role, sum(sample.memory for sample in samples) / len(samples) / MIB, hourly))
    return found


def counts(record: Record) -> Sequence[Count]:
    """Compare what was open at the start with what is open at the end."""
    measures: Mapping[str, Callable[[Held], int]] = {
        # Each session of PostgreSQL is a process, and how many there are is counted on its own.
        "files": lambda held: held.files // (held.processes if held.role == "postgres" else 1),
        "threads": lambda held: held.threads,
        "processes": lambda held: held.processes,
    }
    found = []
    for role in sorted({sample.role for sample in record.held}):
        samples = [sample for sample in record.held if sample.role == role]
        for name, measure in measures.items():
            found += _count(f"{role}: {name}", [(sample.at, measure(sample)) for sample in samples], record)
    for name in ("postgres_sessions", "postgres_network", "qdrant_network"):
        values = [(one.at, getattr(one, name)) for one in record.connected]
        found += _count(f"connections: {name}", values, record)
    return found


def wrong_searches(record: Record) -> Sequence[Answered]:
    """The searches that nothing excuses.

    An error is excused while a fault that reaches searches is under way. A wrong answer is excused by nothing.
    """
    windows = [window for window in record.windows if window.kind.reaches_searches]
    return [
        one
        for one in record.searches
        if one.wrong
        and not (
            one.wrong.startswith("OutageError")
            and under_way(windows, one.begin, one.begin + one.seconds, after=SEARCH_SECONDS)
        )
    ]


def unwatched(record: Record) -> Sequence[str]:
    """What nobody has looked at to the end, so that nothing wrong can have been seen in it."""
    begin, end = record.quiet
    found = []
    if not any(begin <= sample.at <= end for sample in record.held):
        found.append("no process was measured at the end")
    if not any(begin <= sample.at <= end for sample in record.connected):
        found.append("no connection was counted at the end")
    last = max((one.begin for one in record.searches if not one.wrong), default=record.begin)
    # Searches end before what is compared at the end begins.
    if last < begin - SILENT_SECONDS:
        found.append(f"no search has succeeded since second {last - record.begin:.0f}")
    if not any(run.promised for run in record.runs):
        found.append("no success was compared with what was committed before it")
    if not record.arrivals:
        found.append("no change was seen in Qdrant")
    return found


def judge(record: Record) -> Sequence[str]:
    """Name everything that is wrong; nothing if the soak was passed."""
    wrong = [*record.troubles, *unwatched(record)]
    for run in record.runs:
        if run.missed:
            wrong.append(f"{run.kind} run {run.run_id} reported success: {run.missed}")
        if run.state == "failed" and not under_way(record.windows, run.begin, run.end, after=RUN_SECONDS):
            wrong.append(f"{run.kind} run {run.run_id} failed, and no fault was under way")
    succeeded = {run.kind for run in record.runs if run.state == "success"}
    wrong += [f"no {kind} run has succeeded" for kind in KINDS if kind not in succeeded]
    searches = wrong_searches(record)
    wrong += [
        f"a search: {text} ({times} times)" for text, times in Counter(one.wrong for one in searches).most_common(10)
    ]
    wrong += [f"the memory of '{one.role}' grows: {_slope(one.slope)}" for one in flatness(record) if one.grows]
    wrong += [f"{one.what}: {one.warm} at the start, {one.quiet} at the end" for one in counts(record) if one.leaks]
    return wrong


def quantile(values: Iterable[float], share: float) -> float:
    """The value that this share of the values does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _count(what: str, values: Sequence[tuple[float, int]], record: Record) -> list[Count]:
    # A stream begins later than the rest: its first samples count.
    warm = [value for at, value in values if record.warm[0] <= at <= record.warm[1]] or [
        value for _, value in values[:FIRST]
    ]
    quiet = [value for at, value in values if record.quiet[0] <= at <= record.quiet[1]]
    return [Count(what, max(warm), round(median(quiet)))] if warm and quiet else []


def _slope(found: Slope | None) -> str:
    return f"{found.value:+.1f} MiB/h, {found.low:+.1f} to {found.high:+.1f}" if found else "too few samples"


def told(record: Record) -> Sequence[str]:
    """The report in lines of text."""
    kinds = Counter((run.kind, run.state) for run in record.runs)
    searches = [one.seconds for one in record.searches if not one.wrong]
    rate = len(record.searches) / max(record.end - record.begin, 1.0)
    excused = sum(1 for one in record.searches if one.wrong) - len(wrong_searches(record))
    lines = [
        f"Seed {record.seed}, {record.minutes:g} minutes; {record.commits:,} commits; "
        f"{sum(not window.skipped for window in record.windows)} faults",
        "",
        "Runs (outcome: number)",
        *(
            f"  {kind:9} "
            + ", ".join(f"{state} {number}" for (of, state), number in sorted(kinds.items()) if of == kind)
            for kind in KINDS
        ),
        f"  compared after a success: {sum(bool(run.promised) for run in record.runs)} runs, "
        f"{sum(run.promised for run in record.runs):,} promised rows",
        "",
        f"Searches: {len(record.searches):,}, {rate:.1f}/s; {excused:,} failed under a fault, "
        f"{len(wrong_searches(record)):,} wrong; "
        f"median {quantile(searches, 0.5) * 1000:.0f} ms, 99 % {quantile(searches, 0.99) * 1000:.0f} ms",
        f"From commit to Qdrant, faults included: median {quantile(record.arrivals, 0.5):.1f} s, "
        f"99 % {quantile(record.arrivals, 0.99):.1f} s, longest {max(record.arrivals, default=0.0):.1f} s",
        "",
        "Memory, MiB: mean, slope per hour with its 95 % interval",
        *(f"  {one.role:14} {one.mean:7.0f}   {_slope(one.slope)}" for one in flatness(record)),
        "",
        "Open at the start (most), at the end (median)",
        *(f"  {one.what:34} {one.warm:5} {one.quiet:5}" for one in counts(record)),
        "",
        "Faults (seconds after the start, seconds until all was well)",
        *(
            f"  {window.begin - record.begin:7.0f} {window.end - window.begin:6.1f}  {window.told}"
            for window in record.windows
        ),
    ]
    wrong = judge(record)
    return [*lines, "", *([f"WRONG: {one}" for one in wrong] or ["Nothing is wrong."])]
