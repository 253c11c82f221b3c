"""How fast patterns are scored and stored, and where the time goes.

``PYTHONPATH=plugins python -m benchmarks.quality`` scores real functions of the standard library beside radon and
lizard, if the peers' environment has these. It stores scores in turns with COPY of the same rows, and runs whole
backfills, each in its own process. It prints a Markdown table and keeps it in ``results.json``. The backfills read from
the server that PATTERNS_TEST_QDRANT_URL names; without one, from an embedded storage with a tenth of the points.
"""

import argparse
import asyncio
import cProfile
import json
import logging
import pstats
import statistics
import subprocess
import textwrap
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from qdrant_client import QdrantClient, models

from benchmarks.jobs import blocking_client, postgres_of
from benchmarks.patterns import functions
from benchmarks.results import save
from benchmarks.servers import PEERS_PYTHON, Servers, measure
from benchmarks.table import Row
from benchmarks.workload import Workload
from code_patterns.quality import VERSION, score_pattern
from code_patterns.quality.points import Point, pattern_id_of
from code_patterns.quality.store import ScoredPoint, ScoreStore, content_hash_of, metadata_of
from code_patterns.servers.postgres_psycopg import connect

OLD_ID = 1761955847246
ROUNDS = 5
STORED = 20_000
BATCH = 1000
POINTS = {"small": 20_000, "large": 100_000}
"""Points of the larger backfill on a server."""
EMBEDDED_SHARE = 10
COLUMNS = "pattern_id, quality_score, confidence, measurement_timestamp, version, metadata"
PEERS = """
import json, sys, time
codes = json.load(sys.stdin)
from radon.complexity import cc_visit
import lizard
def rate(score):
    begun = time.process_time()
    for code in codes:
        score(code)
    return len(codes) / (time.process_time() - begun)
print(json.dumps([rate(cc_visit), rate(lambda code: lizard.analyze_file.analyze_source_code("x.py", code))]))
"""


def payloads() -> list[dict[str, Any]]:
    """Return real functions as the sync writes them, if they can be parsed alone."""
    dedented = [(name, path, textwrap.dedent(code)) for name, path, code in functions()]
    return [
        {
            "code": code,
            "language": "python",
            "file_path": path,
            "pattern_name": name,
            "pattern_type": "code",
            "metadata": {"lines": code.count("\n"), "module": path.removesuffix(".py")},
        }
        for name, path, code in dedented
        # A method cannot be dedented if a string in it has text at the left margin.
        if not code[0].isspace()
    ]


def scoring() -> Iterator[Row]:
    """Functions per second of one core, in processor time: other processes do not count."""
    some = payloads()
    rates = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for payload in some:
            score_pattern(payload)
        rates.append(len(some) / (time.process_time() - begun))
    rate = statistics.median(rates)
    mean = sum(len(payload["code"]) for payload in some) / len(some)
    note = f"{len(some):,} functions of {mean:,.0f} characters; the old script: 150"
    yield Row("real Python functions scored on one core", rate, "per s", "≥ 3000", note)
    if not PEERS_PYTHON.exists():
        return
    codes = json.dumps([payload["code"] for payload in some])
    answer = subprocess.run([PEERS_PYTHON, "-c", PEERS], input=codes, capture_output=True, text=True, check=True)  # noqa: S603
    for name, peer in zip(("radon", "lizard"), json.loads(answer.stdout), strict=True):
        note = f"{rate:,.0f} per s, {peer:,.0f} per s; it measures complexity only"
        yield Row(f"all five dimensions, beside {name}'s complexity", rate / peer, "times", "", note)


def profile() -> dict[str, float]:
    """Share of the time by function, the largest first."""
    some = payloads()
    recorded = cProfile.Profile()
    recorded.enable()
    for payload in some:
        score_pattern(payload)
    recorded.disable()
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(recorded).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    largest = sorted(stats.items(), key=lambda item: -item[1][2])[:8]
    return {f"{Path(file).name}:{name}": round(values[2] / total, 3) for (file, _, name), values in largest}


async def storing(workload: Workload) -> list[Row]:
    """Scores stored per second, in turns with COPY of the same rows, each into the emptied table."""
    config = postgres_of(workload)
    some = payloads()
    scores = [(payload, score_pattern(payload), content_hash_of(payload)) for payload in some]
    items = [
        ScoredPoint(Point("bench", uuid.uuid4(), payload), digest, score)
        for payload, score, digest in (scores[number % len(scores)] for number in range(STORED))
    ]
    rows = [
        (
            item.point.pattern_id,
            item.score.composite,
            item.score.confidence,
            datetime.now(UTC),
            VERSION,
            metadata_of(item),
        )
        for item in items
    ]
    ratios, ours, copies, again = [], [], [], []
    async with ScoreStore.open(config) as store, await connect(config, autocommit=True) as bare:
        for number in range(ROUNDS):
            taken = {}
            for side in ("store", "copy") if number % 2 else ("copy", "store"):
                await bare.execute("TRUNCATE pattern_quality_metrics")
                begun = time.perf_counter()
                if side == "store":
                    for start in range(0, STORED, BATCH):
                        await store.save(items[start : start + BATCH])
                else:
                    async with bare.cursor().copy(f"COPY pattern_quality_metrics ({COLUMNS}) FROM STDIN") as copy:
                        for row in rows:
                            await copy.write_row(row)
                taken[side] = time.perf_counter() - begun
            ratios.append(taken["copy"] / taken["store"])
            ours.append(STORED / taken["store"])
            copies.append(STORED / taken["copy"])
        if not await _filled(bare):
            for start in range(0, STORED, BATCH):
                await store.save(items[start : start + BATCH])
        begun = time.perf_counter()
        for start in range(0, STORED, BATCH):
            await store.save(items[start : start + BATCH])
        again.append(STORED / (time.perf_counter() - begun))
    rate, copied = statistics.median(ours), statistics.median(copies)
    return [
        Row(f"scores stored, {BATCH:,} per statement", rate, "per s", "≥ 10000", "the old script: 5 to 10"),
        Row(
            "storing, beside COPY of the same rows", statistics.median(ratios), "times", "≥ 0.4", f"{copied:,.0f} per s"
        ),
        Row("scores replaced", again[0], "per s", "", "every row exists already"),
    ]


async def _filled(connection: Any) -> bool:
    cursor = await connection.execute("SELECT count(*) FROM pattern_quality_metrics")
    return bool((await cursor.fetchone())[0] == STORED)


def fill(workload: Workload) -> None:
    """Fill a collection with points as the old writers made them."""
    client: QdrantClient = blocking_client(workload)
    client.create_collection(
        workload.collection, vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE)
    )
    every = functions()
    for start in range(0, workload.count, 1000):
        points = []
        for number in range(start, min(start + 1000, workload.count)):
            name, path, code = every[number % len(every)]
            payload = {"content_preview": code, "pattern_name": name, "file_path": path, "pattern_confidence": 0.5}
            points.append(models.PointStruct(id=OLD_ID + number, vector=[1.0, 0.5], payload=payload))
        client.upsert(workload.collection, points, wait=True)
    client.close()


def whole_runs(servers: Servers, points: int) -> Iterator[Row]:
    """Run whole backfills, a tenth first, each in its own process; compare their peak memory."""
    peaks = {}
    with servers.database(0) as empty, servers.collection(empty) as workload:
        workload = replace(workload, count=points)
        fill(workload)
        for count in (points // 10, points):
            seen = measure(replace(workload, count=count), "scores")
            with psycopg.connect(workload.dsn) as connection:
                found = connection.execute(
                    "SELECT count(*), count(DISTINCT pattern_id) FROM pattern_quality_metrics "
                    "WHERE pattern_id = ANY(%s)",
                    [[pattern_id_of(OLD_ID + number) for number in range(count)]],
                ).fetchone()
            if found != (count, count) or seen.details["stored"] != count:
                raise RuntimeError(f"{count} points gave {found} rows")
            peaks[count] = seen.peak_bytes / 2**20
            note = f"{seen.seconds:.1f} s, processor {seen.cpu_seconds:.1f} s, peak {peaks[count]:.0f} MiB"
            yield Row(f"backfill of {count:,} points, end to end", count / seen.seconds, "per s", "", note)
    note = f"{peaks[points]:.0f} MiB, {peaks[points // 10]:.0f} MiB"
    yield Row(
        "peak memory of all, beside a tenth of them", peaks[points] / peaks[points // 10], "times", "≤ 1.15", note
    )


def main() -> None:
    """Measure everything, print the table, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--size", choices=POINTS, default="small")
    points = POINTS[parser.parse_args().size]
    lines = list(scoring())
    shares = profile()
    with Servers.running() as servers:
        with servers.database(0) as workload:
            lines += asyncio.run(storing(workload))
        lines += whole_runs(servers, points if servers.qdrant_url else points // EMBEDDED_SHARE)
        qdrant = servers.qdrant
    save("quality", qdrant, lines, profile=shares)
    print(f"\nWhere scoring spends its time: {shares}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()
