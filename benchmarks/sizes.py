"""What grows with the number of patterns, and how: measured at several sizes, fitted to ten million.

``PYTHONPATH=plugins python -m benchmarks.sizes --size large`` needs a Qdrant server on this machine. The vectors are
those of the hashing embedder, with 64 dimensions: what a model costs is its own. A model ``a + b n`` is fitted to each
quantity, by least squares of the relative residuals. It prints a Markdown table and keeps it in ``results.json``.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import psycopg

from benchmarks.patterns import change
from benchmarks.results import save
from benchmarks.search import timed_searches
from benchmarks.servers import Measurement, Servers, measure
from benchmarks.table import MEBIBYTE, NEEDS_SERVER, Row
from benchmarks.workload import Workload

DIMENSION = 64
SIZES = {
    "small": (10_000, 30_000, 100_000),
    "medium": (30_000, 100_000, 300_000),
    "large": (30_000, 300_000, 1_000_000, 3_000_000),
}
FITTED = 10_000_000
RATES = ("patterns/s", "µs")
"""Units of what does not grow with the number of patterns, so that the model says nothing."""
MOST_RESIDUAL = 0.5
"""What lies further from the model than this does not grow by it."""
HOURLY_ROUNDS = 3
OURS = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname = ANY(%s)"
TABLES = [
    *("pattern_sync_checkpoints", "pattern_sync_dead_letters", "pattern_sync_digests", "pattern_sync_runs"),
    "pattern_sync_tombstones",
]


@dataclass(frozen=True)
class Quantity:
    """Something that was measured at every size.

    :param name: what
    :param unit: its unit
    :param values: by size
    :param target: what the value at the largest size should be, such as ``≤ 250``
    """

    name: str
    unit: str
    values: Sequence[float]
    target: str = ""


@dataclass(frozen=True)
class Fit:
    """``a + b n``, fitted to measurements.

    :param at: the value at :data:`FITTED`
    :param residual: the largest relative residual
    """

    at: float
    residual: float

    @classmethod
    def of(cls, counts: Sequence[int], values: Sequence[float]) -> "Fit":
        """Fit a model; a part that would be negative is left out."""
        numbers, seen = np.array(counts, float), np.array(values, float)
        # Relative to the measurement: each column is a part of the model, and 1 is what they should make together.
        columns = np.stack((1 / seen, numbers / seen), axis=1)
        parts = np.linalg.lstsq(columns, np.ones(len(seen)), rcond=None)[0]
        for negative in np.flatnonzero(parts < 0):
            alone = columns[:, 1 - negative]
            parts = np.zeros(2)
            parts[1 - negative] = alone.sum() / (alone @ alone)
        a, b = parts
        residuals = (a + b * numbers) / seen - 1
        return cls(float(a + b * FITTED), float(np.abs(residuals).max()))


def main() -> None:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__)
    parser.add_argument(
        "--size", choices=SIZES, default="small", help="small takes minutes, medium half an hour, large some hours"
    )
    size = parser.parse_args().size
    measured: dict[int, dict[tuple[str, str], float]] = {}
    with Servers.running() as servers:
        if not servers.qdrant_url:
            print(f"What grows with the number of patterns {NEEDS_SERVER}.")
            return
        conditions = f"{servers.qdrant}; vectors of {DIMENSION} dimensions of the hashing embedder"
        # The largest first, and kept at once: it takes most of the time.
        for count in sorted(SIZES[size], reverse=True):
            measured[count] = dict(_measured(servers, count))
            _save(dict(sorted(measured.items())), conditions, size)


def _save(measured: Mapping[int, Mapping[tuple[str, str], float]], conditions: str, size: str) -> None:
    """Print and keep what is measured so far.

    :param measured: the quantities by size, in order
    """
    counts = list(measured)
    keys = measured[counts[-1]]
    quantities = [
        Quantity(name, unit, [each[name, unit] for each in measured.values()], target)
        for (name, unit), target in zip(keys, _targets(keys), strict=True)
    ]
    header = ["what", *(f"{count:,}" for count in counts), f"{FITTED:,} (fitted)", "largest residual"]
    lines = [header, *(_line(quantity, counts) for quantity in quantities)]
    rows = [Row(f"{each.name}, {counts[-1]:,}", each.values[-1], each.unit, each.target) for each in quantities]
    save("sizes", conditions, [row for row in rows if row.target], size=size, comparison=lines)


def _targets(keys: Iterable[tuple[str, str]]) -> Iterator[str]:
    targets = {"full sync with nothing changed, per row": "≤ 25", "most memory of our processes": "≤ 250"}
    for name, _ in keys:
        yield targets.get(name, "")


def _line(quantity: Quantity, counts: Sequence[int]) -> list[str]:
    name = f"{quantity.name} ({quantity.unit})"
    if quantity.unit in RATES or len(counts) == 1:
        return [name, *map(_shown, quantity.values), "", ""]
    fit = Fit.of(counts, quantity.values)
    at = _shown(fit.at) if fit.residual <= MOST_RESIDUAL else "no line"
    return [name, *map(_shown, quantity.values), at, f"{fit.residual:.0%}"]


def _shown(value: float) -> str:
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def _measured(servers: Servers, count: int) -> Iterator[tuple[tuple[str, str], float]]:
    """All quantities at one size, with their units."""
    qdrant = _listening(urlsplit(servers.qdrant_url).port or 6333)
    print(f"Filling a table of {count:,} rows", file=sys.stderr, flush=True)
    with servers.database(count) as workload, servers.collection(workload) as own:
        first = _job(own, "sync", "full")
        yield ("first sync", "s"), first.seconds
        yield ("first sync", "patterns/s"), count / first.seconds
        settled = measure(own, "settle")
        yield ("until Qdrant has built its index", "s"), settled.seconds
        hourly = []
        for round_ in range(HOURLY_ROUNDS):
            change(own.dsn, 100, f"round {round_}")
            hourly.append(_job(own, "sync", "incremental"))
            servers.settle(own)
        yield ("hourly run with 100 changes", "s"), statistics.median(run.seconds for run in hourly)
        unchanged = _job(own, "sync", "full")
        yield ("full sync with nothing changed", "s"), unchanged.seconds
        yield ("full sync with nothing changed, per row", "µs"), 1e6 * unchanged.seconds / count
        verified = measure(own, "verify", str(DIMENSION))
        yield ("verification of whole points", "s"), verified.seconds
        seventh = measure(own, "verify", str(DIMENSION), "7")
        yield ("verification, a seventh whole, the rest by digests", "s"), seventh.seconds
        scored = measure(own, "scores")
        yield ("scores of all", "s"), scored.seconds
        milliseconds = asyncio.run(timed_searches(own, DIMENSION))
        for share in (0.5, 0.99):
            yield (f"hybrid search, {share:.0%} of them within", "ms"), milliseconds[int(share * len(milliseconds))]
        ours = max(run.peak_bytes for run in (first, *hourly, unchanged, verified, seventh, scored))
        yield ("most memory of our processes", "MiB"), ours / MEBIBYTE
        yield ("memory of Qdrant", "MiB"), qdrant.memory_info().rss / MEBIBYTE
        yield ("memory of PostgreSQL", "MiB"), _postgres_memory(own) / MEBIBYTE
        yield ("files of Qdrant", "MiB"), _folder_of(qdrant, own) / MEBIBYTE
        with psycopg.connect(own.dsn) as connection:
            for name, tables in (
                ("table of the patterns, with indexes", ["pattern_lineage_nodes"]),
                ("tables of the sync", TABLES),
                ("table of the scores", ["pattern_quality_metrics"]),
            ):
                [(found,)] = connection.execute(OURS, [tables]).fetchall()
                yield (name, "MiB"), float(found) / MEBIBYTE


def _job(workload: Workload, name: str, mode: str) -> Measurement:
    return measure(workload, name, mode, "hashing", str(DIMENSION))


def _listening(port: int) -> psutil.Process:
    """The process that serves a port of this machine."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    sys.exit(
        f"Nothing on this machine listens on port {port}, so the memory and the files of Qdrant cannot be measured."
    )


def _postgres_memory(workload: Workload) -> int:
    """Memory of all processes of the server; a page that several share counts once."""
    with psycopg.connect(workload.dsn) as connection:
        server = psutil.Process(connection.info.backend_pid).parent()
        processes = [server, *server.children(recursive=True)] if server else []
        return sum(process.memory_full_info().pss for process in processes)


def _folder_of(qdrant: psutil.Process, workload: Workload) -> int:
    """Bytes of the collection's files, as the file system stores them."""
    storage = Path(qdrant.environ().get("QDRANT__STORAGE__STORAGE_PATH", "storage"))
    folders = (Path(qdrant.cwd()) / storage / "collections").glob(f"{workload.collection}*")
    files = (file.stat() for folder in folders for file in folder.rglob("*") if file.is_file())
    return sum(file.st_blocks * 512 for file in files)


if __name__ == "__main__":
    main()
