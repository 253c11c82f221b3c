"""Writers that commit rows, and how soon a search finds each."""

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from benchmarks.patterns import COPY, INSERT, rows
from benchmarks.servers import JobError
from benchmarks.stream_ways import Running, Search

CONNECTIONS = 4
"""Writers that commit side by side."""
ASK_SECONDS = 0.01
"""Pause between two searches, as long as rows wait to be found."""
ASK_SECONDS_IN_BURST = 0.05
"""A search costs as much as a point: more of them would slow what is measured."""
ASKED_AT_ONCE = 500
PATIENCE_SECONDS = 60.0
"""Rows that are not found so long after the last commit are lost."""
LONGEST_SECONDS = 300.0
"""For a burst, and for the start of a way."""


class FreshRows:
    """Rows that no database of the benchmark has yet, the same for every way.

    :param skipped: rows that :func:`benchmarks.patterns.load` has written
    """

    def __init__(self, skipped: int) -> None:
        # The ids are random, and seeded with the number of rows: with another number than the loaded rows they differ.
        self._rows = itertools.islice(rows(10**9), skipped, None)
        self._lock = threading.Lock()

    def take(self, kind: str = "code") -> tuple[str, ...]:
        """The next row.

        :param kind: its ``pattern_type``; only ``code`` gets a point
        """
        with self._lock:
            node_id, pattern_id, name, _, *others = next(self._rows)
        return (node_id, pattern_id, name, kind, *others)


@dataclass(frozen=True)
class Latencies:
    """From the return of COMMIT to the answer of a search that has the row.

    :param seconds: of each row that was found, sorted
    :param lost: rows that were never found
    """

    seconds: Sequence[float]
    lost: int

    def quantile(self, share: float) -> float:
        """The latency that this share of the rows does not exceed; a lost row exceeds any."""
        place = max(1, math.ceil(share * (len(self.seconds) + self.lost)))
        return self.seconds[place - 1] if place <= len(self.seconds) else math.inf


class Commits:
    """Rows that are committed, until a search finds them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, float] = {}
        self._seconds: list[float] = []

    def add(self, node_id: str) -> None:
        """Take a row whose COMMIT has just returned."""
        with self._lock:
            self._waiting[node_id] = time.perf_counter()

    def ask(self, search: Search) -> bool:
        """Search once for those that wait longest; tell whether any waited."""
        with self._lock:
            asked = list(itertools.islice(self._waiting, ASKED_AT_ONCE))
        if asked:
            found, now = search.found(asked), time.perf_counter()
            with self._lock:
                self._seconds += [now - self._waiting.pop(node_id) for node_id in found]
        return bool(asked)

    def latencies(self) -> Latencies:
        """What was seen until now; rows that still wait are lost."""
        return Latencies(sorted(self._seconds), len(self._waiting))


@contextmanager
def writing(
    dsn: str, fresh: FreshRows, commits: Commits, per_second: float, seconds: float
) -> Iterator[threading.Event]:
    """Commit rows by a timetable, on several connections, until the time or the block is over.

    :return: an event that ends it early, and is set when the last row is committed
    """
    ended, begun = threading.Event(), time.perf_counter()

    def write(first: int) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            for number in itertools.count(first, CONNECTIONS):
                due = number / per_second
                if due >= seconds or ended.wait(max(0.0, begun + due - time.perf_counter())):
                    return
                row = fresh.take()
                connection.execute(INSERT, row)
                commits.add(row[0])

    def set_at_end(writers: Sequence[Future[None]]) -> None:
        for writer in writers:
            writer.exception()
        ended.set()

    with ThreadPoolExecutor(CONNECTIONS + 1) as pool:
        writers = [pool.submit(write, first) for first in range(CONNECTIONS)]
        pool.submit(set_at_end, writers)
        try:
            yield ended
        finally:
            ended.set()
    for writer in writers:
        writer.result()


def latencies(
    running: Running, dsn: str, search: Search, fresh: FreshRows, per_second: float, seconds: float
) -> Latencies:
    """Commit rows for so many seconds; measure how soon each is found.

    :raises JobError: the way ended by itself
    """
    commits = Commits()
    with writing(dsn, fresh, commits, per_second, seconds) as ended:

        def step() -> bool:
            # Before the search: what is committed meanwhile is asked for in the next step.
            over = ended.is_set()
            return not commits.ask(search) and over

        _watch(running, step, seconds + PATIENCE_SECONDS)
    return commits.latencies()


def write_burst(dsn: str, fresh: FreshRows, count: int) -> list[str]:
    """Commit many rows in one transaction; return their ids."""
    many = [fresh.take() for _ in range(count)]
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for row in many:
            copy.write_row(row)
    return [row[0] for row in many]


def burst(
    running: Running, dsn: str, search: Search, fresh: FreshRows, count: int, per_second: float
) -> tuple[float, Latencies]:
    """Commit many rows in one transaction, and single rows until all of those are found.

    :return: seconds from the commit until a search finds the last of the burst, infinite if it never does; and the
        latencies of the single rows
    :raises JobError: the way ended by itself
    """
    left, asked, commits, drained = write_burst(dsn, fresh, count), 1, Commits(), math.inf
    begun = time.perf_counter()

    def step() -> bool:
        nonlocal left, asked, drained
        commits.ask(search)
        # Few as long as one of them is missing: a question for many is not cheap.
        found = set(search.found(left[:asked]))
        left = [node_id for node_id in left if node_id not in found]
        asked = min(2 * asked, ASKED_AT_ONCE) if len(found) == asked else 1
        drained = math.inf if left else time.perf_counter() - begun
        return not left

    with writing(dsn, fresh, commits, per_second, LONGEST_SECONDS) as ended:
        _watch(running, step, LONGEST_SECONDS, ASK_SECONDS_IN_BURST)
        ended.set()
        _watch(running, lambda: not commits.ask(search), PATIENCE_SECONDS)
    return drained, commits.latencies()


def commit_rate(dsn: str, fresh: FreshRows, kind: str, seconds: float) -> float:
    """Commit rows as fast as several connections can; return the commits per second.

    :param kind: ``pattern_type`` of the rows
    """
    end = time.perf_counter() + seconds

    def write() -> int:
        written = 0
        with psycopg.connect(dsn, autocommit=True) as connection:
            while time.perf_counter() < end:
                connection.execute(INSERT, fresh.take(kind))
                written += 1
        return written

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        writers = [pool.submit(write) for _ in range(CONNECTIONS)]
        return sum(writer.result() for writer in writers) / seconds


def wait_until_ready(running: Running, dsn: str, search: Search, fresh: FreshRows, points: int) -> None:
    """Wait until the way has made the points of the rows that were there, and finds new rows.

    A row that is committed before the way listens may be lost to it, so new ones follow. Two must be found: what reads
    the whole table again and again has then ended the pass that made the old points.

    :raises JobError: the way ended by itself, or is not ready in time
    """
    commits = Commits()

    def step() -> bool:
        commits.ask(search)
        return len(commits.latencies().seconds) >= 2 and search.count() >= points

    with writing(dsn, fresh, commits, per_second=1, seconds=LONGEST_SECONDS):
        _watch(running, step, LONGEST_SECONDS, pause=0.2)
    if not step():
        raise JobError(f"{running.title} is not ready after {LONGEST_SECONDS:.0f} s")


def _watch(running: Running, step: Callable[[], bool], seconds: float, pause: float = ASK_SECONDS) -> None:
    """Call ``step`` until it says that all is done, or the time is over."""
    end = time.perf_counter() + seconds
    while not step() and time.perf_counter() < end:
        running.check()
        time.sleep(pause)
