"""What happens to the points when something goes wrong: each trouble, and what is wrong at the end.

Every function takes one tool through one trouble, in a database and a collection of its own or in those that it is
given, and tells what was seen.
"""

import itertools
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg

from benchmarks.contenders import Contender, Differences, Outcome, Started
from benchmarks.embedding_server import POISON
from benchmarks.patterns import INSERT
from benchmarks.servers import JobError, Servers, embedding_server
from benchmarks.stream_traffic import FreshRows, write_burst
from benchmarks.workload import Workload

WRITERS = 4
COMMITS = 400
HELD_SHARE = 0.15
HELD_SECONDS = 0.4
PAUSE_SECONDS = 0.05
LATE_SECONDS = 0.5
"""How long after the end of the load the longest transaction commits."""
LATE_ROWS = 20
END_SECONDS = 600.0
"""How long a run may take that meets a trouble."""
POLL_SECONDS = 0.02
UPDATE = """
UPDATE pattern_lineage_nodes
SET pattern_data = jsonb_set(pattern_data, '{code}', to_jsonb((pattern_data ->> 'code') || %s))
WHERE id = %s
"""
DELETE = "DELETE FROM pattern_lineage_nodes WHERE id = %s"
DELETE_SOME = """
DELETE FROM pattern_lineage_nodes
WHERE id IN (SELECT id FROM pattern_lineage_nodes ORDER BY md5(id::text) LIMIT %s)
"""


@contextmanager
def own(servers: Servers, count: int) -> Iterator[tuple[Workload, Path]]:
    """A database of so many rows, a collection and a folder."""
    with (
        servers.database(count) as database,
        servers.collection(database) as workload,
        tempfile.TemporaryDirectory(prefix="bench-peer-") as folder,
    ):
        yield workload, Path(folder)


def delete_some(workload: Workload, count: int) -> None:
    """Delete so many rows."""
    with psycopg.connect(workload.dsn, autocommit=True) as connection:
        connection.execute(DELETE_SOME, [count])


def poisoned(servers: Servers, contender: Contender, count: int) -> str:
    """The embedding server refuses the text of one row, in the middle of the table; the tool runs twice."""
    with own(servers, count // 2) as (workload, folder):
        fresh = FreshRows(count // 2)
        node_id, pattern_id, name, kind, _, *others = fresh.take()
        with psycopg.connect(workload.dsn, autocommit=True) as connection:
            row = (node_id, pattern_id, name, kind, f'{{"code": "{POISON}"}}', *others)
            connection.execute(INSERT, row)
        write_burst(workload.dsn, fresh, count - count // 2 - 1)
        told = []
        for number in ("first", "second"):
            outcome = contender.run(workload, folder, contender.first, END_SECONDS)
            seen = Differences.between(contender, workload)
            stored = seen.rows - seen.missing - seen.old
            told.append(f"{number} run: {stored:,} of {count - 1:,} others stored, {ended(outcome)}")
        return "; ".join(told)


def ended(outcome: Outcome) -> str:
    """How a run ended, and the failures that it counts."""
    if outcome.status is None:
        return f"did not end within {END_SECONDS:.0f} s"
    details = outcome.measurement.details if outcome.measurement else {}
    counts = "".join(f", {details[what]} {what}" for what in ("parked", "errors") if details.get(what))
    return f"exit status {outcome.status}{counts}"


def race(servers: Servers, contender: Contender, count: int) -> str:
    """Change, delete and insert rows during the first load; compare after one more run."""
    with own(servers, count) as (workload, folder):
        before_it = embedded(workload.embedding_url)["texts"]
        with contender.started(workload, folder, contender.first) as run:
            _until(run, lambda: embedded(workload.embedding_url)["texts"] > before_it)
            commits = _write_during(run, workload, count)
            outcome = run.ended(END_SECONDS)
        before = Differences.between(contender, workload)
        again = contender.run(workload, folder, contender.again, END_SECONDS)
        after = Differences.between(contender, workload)
        return (
            f"{commits} commits; after the load ({ended(outcome)}): {before}; "
            f"after one more run ({ended(again)}): {after}"
        )


def _write_during(run: Started, workload: Workload, count: int) -> int:
    """Commit out of order while a run works, and one long transaction after its end; return the number of commits."""
    fresh = FreshRows(count)
    with psycopg.connect(workload.dsn) as connection:
        ids = [str(row[0]) for row in connection.execute("SELECT id FROM pattern_lineage_nodes ORDER BY id")]
    # Each writer has rows of its own: they never wait for each other.
    late, *shares = (ids[start :: WRITERS + 1] for start in range(WRITERS + 1))
    numbers = itertools.count()
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        begun = threading.Event()
        last = pool.submit(_write_late, run, workload, late, begun)
        begun.wait()
        writers = [pool.submit(_write, workload, fresh, share, seed, numbers) for seed, share in enumerate(shares)]
        return sum(writer.result() for writer in (*writers, last))


def _write(workload: Workload, fresh: FreshRows, ids: list[str], seed: int, numbers: Iterator[int]) -> int:
    """Commit in small transactions, of which some stay open for a while; return how many."""
    chance = random.Random(seed)  # noqa: S311 (traffic of a benchmark)
    changed: list[str] = []
    commits = 0
    with psycopg.connect(workload.dsn) as connection:
        while next(numbers) < COMMITS:
            kind = chance.random()
            if kind < 0.4:
                node_id = chance.choice(ids)
                connection.execute(UPDATE, [f"\n# changed {chance.random()}", node_id])
                changed.append(node_id)
            elif kind < 0.7:
                # Half of the deleted rows have been changed just before.
                node_id = changed.pop() if changed and chance.random() < 0.5 else chance.choice(ids)
                connection.execute(DELETE, [node_id])
            else:
                row = fresh.take()
                connection.execute(INSERT, row)
                ids.append(row[0])
            if chance.random() < HELD_SHARE:
                time.sleep(HELD_SECONDS)
            connection.commit()
            commits += 1
            time.sleep(PAUSE_SECONDS)
    return commits


def _write_late(run: Started, workload: Workload, ids: list[str], begun: threading.Event) -> int:
    """Change and delete rows in a transaction that begins before the others, and commits after the run has ended."""
    with psycopg.connect(workload.dsn) as connection:
        for node_id in ids[:LATE_ROWS]:
            connection.execute(UPDATE, ["\n# changed late", node_id])
        for node_id in ids[LATE_ROWS : 2 * LATE_ROWS]:
            connection.execute(DELETE, [node_id])
        begun.set()
        _until(run, lambda: False)
        time.sleep(LATE_SECONDS)
    return 1


def behind_its_back(
    contender: Contender, workload: Workload, folder: Path, harm: Callable[[Contender, Workload], None]
) -> str:
    """Do harm to the points, then run whatever could notice it; tell what each run has left wrong."""
    harm(contender, workload)
    told = []
    for name, arguments in contender.checks.items():
        outcome = contender.run(workload, folder, arguments, END_SECONDS)
        seen = Differences.between(contender, workload)
        told.append(f"after the {name} ({ended(outcome)}): {seen}")
        if seen.wrong == 0:
            break
    return "; ".join(told)


def killed(servers: Servers, contender: Contender, count: int) -> str:
    """Kill the first load when half of the texts are embedded; run it again to the end."""
    with own(servers, count) as (shared, folder), embedding_server() as url:
        workload = replace(shared, embedding_url=url)
        with contender.started(workload, folder, contender.first) as run:
            _until(run, lambda: embedded(url)["texts"] >= count / 2)
            if not run.runs():
                raise JobError(f"{contender.title} had ended before it could be killed")
            run.kill()
        stored = len(contender.stored(workload))
        at_kill = embedded(url)["texts"]
        outcome = contender.run(workload, folder, contender.first, END_SECONDS)
        again, seen = embedded(url)["again"], Differences.between(contender, workload)
        return (
            f"{again:,} texts embedded again ({at_kill:,} embedded and {stored:,} stored when it was killed); "
            f"the next run: {ended(outcome)}, {seen}"
        )


def embedded(url: str) -> dict[str, int]:
    """How many texts an embedding server has embedded, and how many of these it had embedded before."""
    answer = httpx.post(f"{url}/embedded", json={}, timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def _until(run: Started, reached: Callable[[], bool]) -> None:
    """Wait until something is reached, or the run has ended."""
    while run.runs() and not reached():
        time.sleep(POLL_SECONDS)
