"""The measurements as rows with a target, and as text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.scenarios import Measurements, Size
from benchmarks.servers import Measurement

NEEDS_SERVER = "needs a Qdrant server (PATTERNS_TEST_QDRANT_URL)"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Row:
    """One line of the table.

    :param name: what was measured
    :param value: the result, or ``None`` if it could not be measured here
    :param unit: its unit; ``times`` means how many times as fast as the other side
    :param target: what it should be, such as ``≥ 4``; empty for none
    :param note: the numbers behind it
    """

    name: str
    value: float | None
    unit: str
    target: str = ""
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the value, as it is printed, meets the target; ``None`` without one or the other."""
        if self.value is None or not self.target:
            return None
        sign, number = self.target.split()
        shown = float(f"{self.value:.3g}")
        return shown >= float(number) if sign == "≥" else shown <= float(number)


def seconds(measurement: Measurement) -> float:
    """Wall-clock time."""
    return measurement.seconds


def cpu_seconds(measurement: Measurement) -> float:
    """Processor time."""
    return measurement.cpu_seconds


def peak(measurement: Measurement) -> float:
    """Most memory."""
    return float(measurement.peak_bytes)


def rows(seen: Measurements, size: Size) -> Iterator[Row]:
    """All lines, in the order of the table."""
    yield from _against_limits(seen, size)
    yield from _words(seen, size)
    yield from _against_peers(seen, size)
    yield from _growth(seen, size)
    profile = seen.details("hashing")["profile"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in profile.items())
    yield Row(
        "hashing embedder",
        size.patterns / seen.median("hashing", cpu_seconds),
        "texts/s per core",
        note=f"own time under the profiler: {shares}",
    )


def _against_limits(seen: Measurements, size: Size) -> Iterator[Row]:
    yield _ratio(seen, size, "first sync, beside the embedding server saturated", "embedding limit", "sync", "≥ 0.92")
    name = "first sync with the hashing embedder, beside uploading ready points with qdrant-client"
    yield _ratio(seen, size, name, "upload", "sync hashing", "≥ 0.8")


def _words(seen: Measurements, size: Size) -> Iterator[Row]:
    name = "first sync with words, beside the same without"
    yield _ratio(seen, size, name, "sync ollama without words", "sync", "≥ 0.9")
    yield _ratio(seen, size, f"{name}, hashing embedder", "sync hashing without words", "sync hashing", "")


def _against_peers(seen: Measurements, size: Size) -> Iterator[Row]:
    yield _ratio(seen, size, "first sync, beside LangChain index() as documented", "langchain", "sync", "≥ 4")
    yield _ratio(seen, size, "first sync, beside four LangChain index() side by side", "langchain x4", "sync", "≥ 1.1")
    name = "first sync, beside LlamaIndex IngestionPipeline as documented"
    yield _ratio(seen, size, name, "llamaindex", "sync", "≥ 5")
    name = "first sync, beside LlamaIndex, asynchronous, four batches in flight"
    yield _ratio(seen, size, name, "llamaindex tuned", "sync", "≥ 2")
    old = size.singles / seen.median("one request each", seconds)
    ours = size.patterns / seen.median("sync", seconds)
    note = f"{ours:.0f} patterns/s, {old:.0f} patterns/s"
    yield Row("first sync, beside one request per pattern", ours / old, "times", "≥ 19", note)
    for peer, name, target in (("langchain", "LangChain's", "≤ 0.6"), ("llamaindex", "LlamaIndex's", "≤ 0.2")):
        mine, theirs = seen.median("sync", cpu_seconds), seen.median(peer, cpu_seconds)
        note = f"{5000 * mine / size.patterns:.2f} s, {5000 * theirs / size.patterns:.2f} s per 5,000 patterns"
        value = seen.ratio("sync", peer, cpu_seconds)
        yield Row(f"processor time of the first sync, of {name}", value, "share", target, note)
    name = "re-run with nothing changed, beside {}"
    yield _ratio(seen, size, name.format("LangChain"), "langchain again", "sync again", "≥ 5")
    yield _ratio(seen, size, name.format("LlamaIndex"), "llamaindex again", "sync again", "≥ 5")
    yield _per_row(seen, size, "sync again", size.patterns)


def _growth(seen: Measurements, size: Size) -> Iterator[Row]:
    for name, ours, target in (("one process", "large first", "≥ 0.75"), ("two", "large two", "≥ 0.9")):
        title = f"first sync of {size.large:,} with the hashing embedder, {name}, beside finished request bodies"
        if not seen.has("large bodies", ours):
            yield Row(title, None, "times", target, NEEDS_SERVER)
            continue
        mine, bodies = (size.large / seen.median(side, seconds) for side in (ours, "large bodies"))
        yield Row(title, mine / bodies, "times", target, f"{mine:.0f} patterns/s, {bodies:.0f} patterns/s")
    step = f"at {size.large:,} rows, of {size.small:,}"
    names = (f"hourly run with 100 changes, {step}", f"most memory of a full sync, {step}")
    if not seen.has("large hourly"):
        yield from (
            Row(name, None, "times", target, NEEDS_SERVER)
            for name, target in zip(names, ("≤ 1.3", "≤ 1.2"), strict=True)
        )
        return
    large, small = seen.median("large hourly", seconds), seen.median("small hourly", seconds)
    value = seen.ratio("large hourly", "small hourly", seconds)
    yield Row(names[0], value, "times", "≤ 1.3", f"{large:.2f} s, {small:.2f} s")
    kinds = ("first", "unchanged")
    large, small = (max(seen.median(f"{table} {kind}", peak) for kind in kinds) for table in ("large", "small"))
    yield Row(names[1], large / small, "times", "≤ 1.2", f"{large / MEBIBYTE:.0f} MiB, {small / MEBIBYTE:.0f} MiB")
    yield _per_row(seen, size, "large unchanged", size.large)


def _per_row(seen: Measurements, size: Size, name: str, count: int) -> Row:
    again = seen.median(name, seconds) / count
    first = seen.median("sync", seconds) / size.patterns
    return Row(
        f"full sync with nothing changed, of a first sync, per row of {count:,}",
        again / first,
        "share",
        "≤ 0.05",
        f"{1e6 * again:.0f} µs, {1e6 * first:.0f} µs per row",
    )


def _ratio(seen: Measurements, size: Size, name: str, theirs: str, ours: str, target: str) -> Row:
    """How many times as fast ours is; for a limit, the share that ours reaches."""
    if not seen.has(theirs, ours):
        return Row(name, None, "times", target, NEEDS_SERVER)
    mine, other = (size.patterns / seen.median(side, seconds) for side in (ours, theirs))
    return Row(
        name, seen.ratio(theirs, ours, seconds), "times", target, f"{mine:.0f} patterns/s, {other:.0f} patterns/s"
    )


def markdown(lines: list[Row]) -> str:
    """The table as a README shows it."""
    cells = []
    for row in lines:
        value = "—" if row.value is None else f"{_number(row.value)} {row.unit}"
        holds = {True: "yes", False: "**no**", None: ""}[row.holds]
        cells.append((row.name, value, row.target, holds, row.note))
    return grid(("what", "measured", "target", "holds", "numbers behind it"), cells)


def grid(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table of any columns."""
    text = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join(text + [f"| {' | '.join(line)} |" for line in lines])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
