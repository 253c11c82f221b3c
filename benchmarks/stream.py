"""How soon a committed row is found by a search: the stream beside other ways of keeping points up to date.

``PYTHONPATH=plugins python -m benchmarks.stream --size large`` gives each way a database and a collection of its own,
with the same rows. In each phase every way runs once, alone, in a process of its own, so that noise of the machine
meets all alike. It needs a Qdrant server (PATTERNS_TEST_QDRANT_URL). It prints two Markdown tables and keeps them in
``results.json``.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg

from benchmarks.cores import apart, can_part, listening_process, postgres_process
from benchmarks.jobs import settle
from benchmarks.results import save
from benchmarks.servers import JobError, Measurement, Servers, embedding_server, measure
from benchmarks.stream_table import (
    APART,
    BURST_PER_SECOND,
    KINDS,
    PATTERNS,
    SLOW_PER_SECOND,
    Burst,
    Seen,
    both,
    comparison_of,
    rows_of,
)
from benchmarks.stream_traffic import FreshRows, burst, commit_rate, latencies, wait_until_ready, write_burst
from benchmarks.stream_ways import WAYS, Running, Search, Way, enable_triggers, search_of
from benchmarks.table import NEEDS_SERVER
from benchmarks.workload import Workload

OTHERS_SECONDS = 20.0
"""The other ways are measured no longer than this in a phase."""
REST_SECONDS = 2.0
COUNTED_SECONDS = 12.0
"""A session of PostgreSQL that is idle adds what it did to the counters after ten seconds."""
TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"


@dataclass(frozen=True)
class Size:
    """How long everything is measured, in seconds.

    :param rates: by commits per second
    :param slow: with the embedding server
    :param idle: without commits
    :param bursts: how many
    :param writers: each of the writers' rounds
    :param writer_rounds: without and with the way
    """

    rates: dict[int, float]
    slow: float
    idle: float
    bursts: int
    writers: float
    writer_rounds: int


SIZES = {
    "small": Size({1: 10, 5: 10, 20: 5, 100: 5}, slow=10, idle=10, bursts=3, writers=2, writer_rounds=2),
    "large": Size({1: 60, 5: 300, 20: 60, 100: 60}, slow=120, idle=20, bursts=3, writers=3, writer_rounds=4),
}


@dataclass
class Side:
    """One way with its own database and collection.

    :param workload: with the embedding server that costs nothing
    :param slow: the same with the one that has a cost
    """

    way: Way
    workload: Workload
    slow: Workload
    fresh: FreshRows
    folder: Path
    seen: Seen = field(default_factory=Seen)

    @contextmanager
    def running(self, api: str = "hashing") -> Iterator[tuple[Running, Search]]:
        """Run the way until the end of the block; it is ready, and Qdrant is at rest."""
        workload = self.workload if api == "hashing" else self.slow
        search = search_of(self.way, workload)
        with self.way.running(workload, api, self.folder) as running:
            wait_until_ready(running, workload.dsn, search, self.fresh, PATTERNS)
            if not self.way.in_postgres:
                settle(workload)
            time.sleep(REST_SECONDS)
            yield running, search

    def rate(self, per_second: int, seconds: float) -> str:
        """Measure the latencies at one rate."""
        with self.running() as (running, search):
            found = latencies(running, self.workload.dsn, search, self.fresh, per_second, seconds)
        self.seen.rates[per_second] = found
        return both(found)

    def with_server(self, seconds: float) -> str:
        """Measure the latencies with an embedding server."""
        with self.running("ollama") as (running, search):
            found = latencies(running, self.slow.dsn, search, self.fresh, SLOW_PER_SECOND, seconds)
        self.seen.slow = found
        return both(found)

    def burst(self, servers: Servers) -> str:
        """Measure full syncs, then a burst, and the rows that are committed during it."""
        with servers.collection(self.workload) as empty:
            first_load = _rate(measure(empty, "sync", "full", "hashing"), "examined")
        same_load = None
        if self.way.is_ours:
            write_burst(self.workload.dsn, self.fresh, PATTERNS)
            same_load = _rate(measure(self.workload, "sync", "full", "hashing"), "new")
        with self.running() as (running, search):
            drained, during = burst(running, self.workload.dsn, search, self.fresh, PATTERNS, BURST_PER_SECOND)
        seen = Burst(first_load, same_load, drained, during)
        self.seen.bursts.append(seen)
        same = f", of such a burst {same_load:.0f}/s" if same_load else ""
        return f"{seen.rate:.0f}/s, the full sync {first_load:.0f}/s{same}, rows meanwhile {both(during)}"

    def idle(self, servers: Servers, seconds: float) -> str:
        """Measure what it costs while nothing is committed."""
        with self.running() as (running, _), psycopg.connect(servers.postgres, autocommit=True) as other:
            time.sleep(COUNTED_SECONDS)
            before = running.cpu_seconds(), _transactions(other, self.workload.dsn)
            time.sleep(seconds)
            after = running.cpu_seconds(), _transactions(other, self.workload.dsn)
        cpu, transactions = ((end - start) / seconds for start, end in zip(before, after, strict=True))
        self.seen.idle = cpu, transactions
        return f"{cpu:.1%} of a core, {transactions:.1f} transactions/s"

    def writers(self, kind: str, size: Size) -> str:
        """Measure how many rows writers commit without the way, and with it, in turns.

        :param kind: of the rows
        """
        with self.running() as (running, _):
            return self._commit_rates(running, self.seen.writers[kind], kind, size)

    def writers_apart(self, size: Size) -> str:
        """Measure the same for rows without a point, with the way and its store on processors of their own."""
        dsn, url = self.workload.dsn, self.workload.qdrant_url
        with self.running() as (running, _):
            near, far = [psutil.Process(), postgres_process(dsn)], [psutil.Process(running.process.pid)]
            with apart(near, far if self.way.in_postgres else [*far, listening_process(url)]):
                return self._commit_rates(running, self.seen.apart, next(iter(KINDS)), size)

    def _commit_rates(self, running: Running, rates: list[tuple[float, float]], kind: str, size: Size) -> str:
        for number in range(size.writer_rounds):
            # The table grows and the server's own work comes and goes: neither side is always the later one.
            of = dict.fromkeys(((False, True), (True, False))[number % 2], 0.0)
            for with_it in of:
                enable_triggers(self.workload, enabled=with_it)
                with nullcontext() if with_it else running.halted():
                    of[with_it] = commit_rate(self.workload.dsn, self.fresh, kind, size.writers)
                enable_triggers(self.workload, enabled=True)
                time.sleep(REST_SECONDS)
            rates.append((of[False], of[True]))
        return "commits/s without and with: " + ", ".join(f"{off:.0f} {on:.0f}" for off, on in rates)


def main() -> None:
    """Measure, print the tables, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="small takes ten minutes, large forty")
    parser.add_argument("--ways", nargs="+", choices=[way.name for way in WAYS], default=[way.name for way in WAYS])
    arguments = parser.parse_args()
    # When it is ended from outside, it still stops the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended."))
    if not os.environ.get("PATTERNS_TEST_QDRANT_URL"):
        print(f"The stream {NEEDS_SERVER}; nothing is measured.", file=sys.stderr)
        return
    load, size = os.getloadavg()[0], SIZES[arguments.size]
    try:
        with ExitStack() as stack:
            servers = stack.enter_context(Servers.running())
            free = stack.enter_context(embedding_server(0, 0))
            sides = list(opened_sides(stack, servers, free, [way for way in WAYS if way.name in arguments.ways]))
            _measure(servers, sides, size)
            conditions = (
                f"{servers.qdrant}, {_postgres(servers)}; {PATTERNS:,} patterns before; load average {load:.1f} "
                f"before, {os.getloadavg()[0]:.1f} at the end"
            )
    except JobError as error:
        sys.exit(f"The benchmark stopped: {error}")
    lines = [line for side in sides if side.way.name == "stream" for line in rows_of(side.seen)]
    comparison = [list(line) for line in comparison_of({side.way.title: side.seen for side in sides})]
    save("stream", conditions, lines, size=arguments.size, comparison=comparison)


def _postgres(servers: Servers) -> str:
    with psycopg.connect(servers.postgres) as connection:
        [fsync] = connection.execute("SHOW fsync").fetchone() or ("",)
        return f"PostgreSQL {connection.info.server_version // 10_000} with fsync {fsync}"


def opened_sides(stack: ExitStack, servers: Servers, free: str, ways: list[Way]) -> Iterator[Side]:
    """Give each way a database and a collection."""
    for way in ways:
        if not way.python.exists():
            print(f"{way.title}: no environment {way.python}; left out.", file=sys.stderr)
            continue
        database = stack.enter_context(servers.database(PATTERNS))
        own = stack.enter_context(servers.collection(database))
        if not way.starts_empty:
            measure(own, "sync", "full", "hashing")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-way-")))
        yield Side(way, replace(own, embedding_url=free), own, FreshRows(PATTERNS), folder)


def _measure(servers: Servers, sides: list[Side], size: Size) -> None:
    def seconds(side: Side, wanted: float) -> float:
        return wanted if side.way.name == "stream" else min(wanted, OTHERS_SECONDS)

    _phase("idle", sides, lambda side: side.idle(servers, size.idle))
    for rate, wanted in size.rates.items():
        _phase(f"{rate} commits/s", sides, lambda side, r=rate, w=wanted: side.rate(r, seconds(side, w)))
    _phase("embedding server", sides, lambda side: side.with_server(seconds(side, size.slow)))
    for _ in range(size.bursts):
        _phase("burst", sides, lambda side: side.burst(servers))
    for kind, rows in KINDS.items():
        _phase(f"writers of {rows}", sides, lambda side, k=kind: side.writers(k, size))
    if can_part():
        _phase(f"writers of {APART}", sides, lambda side: side.writers_apart(size))


def _phase(name: str, sides: list[Side], measured: Callable[[Side], str]) -> None:
    """Measure each way once; another tool that fails is left out from then on.

    :raises JobError: the stream failed
    """
    for side in list(sides):
        begun = time.perf_counter()
        try:
            told = measured(side)
        except JobError as error:
            if side.way.name == "stream":
                raise
            sides.remove(side)
            told = f"{error}; left out of the tables"
        took = time.perf_counter() - begun
        print(f"  {name}, {side.way.name}: {told} ({took:.0f} s)", file=sys.stderr, flush=True)


def _rate(measured: Measurement, count: str) -> float:
    return float(measured.details[count]) / measured.seconds


def _transactions(connection: psycopg.Connection, dsn: str) -> int:
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    [count] = connection.execute(TRANSACTIONS, [name]).fetchone() or (0,)
    return int(count)


if __name__ == "__main__":
    main()
