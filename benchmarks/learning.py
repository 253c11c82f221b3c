"""What the storage layer for pattern learning adds to the statements it runs.

``python -m benchmarks.learning`` fills a database with templates and usage events. It calls each operation in turns
with the same statement in ``async with pool.acquire()`` on a plain asyncpg pool, as a user would write it, and with the
bare statement on a connection that is held. All have the same settings. It does so twice: with the server on this
machine, and behind a relay that puts it as far away as a database in the same data centre. It prints a Markdown table
and keeps it in ``results.json``.
"""

import argparse
import asyncio
import logging
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import psycopg

from benchmarks.distance import ROUND_TRIP_SECONDS, at_a_distance
from benchmarks.jobs import postgres_of
from benchmarks.results import save
from benchmarks.servers import Servers
from benchmarks.table import Row
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_asyncpg import asyncpg_arguments
from pattern_learning import (
    ModelContractEffect,
    ModelResult,
    NodePatternAnalyticsEffect,
    NodePatternQueryEffect,
    NodePatternStorageEffect,
    NodePatternUpdateEffect,
    PatternDatabaseManager,
)
from pattern_learning.arguments import Period
from pattern_learning.fields import CHANGEABLE, TEMPLATE, USAGE
from pattern_learning.jobs import compute_period
from pattern_learning.pattern_database import COMMAND_TIMEOUT_SECONDS, SETTINGS
from pattern_learning.statements import filtered, insert, statement, update
from pattern_learning.track2_integration import get_pattern_tracer

DAY = datetime(2026, 3, 2, tzinfo=UTC)
SIZES = {"small": (20_000, 200_000), "large": (100_000, 1_000_000)}
"""Templates and usage events."""
BATCH = 10_000
CROWD = 100_000
ROUNDS = 7
_WORDS = [
    *("async", "retry", "queue", "cache", "parser", "token", "writer", "reader", "client", "server", "pool", "batch"),
    *("stream", "index", "vector", "graph", "schema", "config", "event", "handler", "worker", "lock", "timer"),
    *("buffer", "codec", "router", "filter", "mapper", "loader", "builder"),
]
_COLUMNS = ("id", "pattern_name", "pattern_type", "language", "description", "template_code", "tags")

Call = Callable[[], Awaitable[Any]]
Statement = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """One operation beside its statement.

    :param name: name of the operation
    :param published: what the previous storage layer claimed for it, in milliseconds
    :param ours: calls the node
    :param statement: runs the same statement on a connection
    :param calls: calls of each in a round
    """

    name: str
    published: str
    ours: Call
    statement: Statement
    calls: int = 500


def templates(count: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Rows for ``_COLUMNS``."""
    chance = random.Random(seed)  # noqa: S311 (test data)
    for number in range(count):
        words = chance.choices(_WORDS, k=3)
        name = "".join(word.title() for word in words) + f"{seed}x{number:x}"
        description = " ".join(chance.choices(_WORDS, k=18))
        yield uuid4(), name, "code", "python", description, f"def {name}(): ...", chance.choices(_WORDS, k=2)


async def load(connection: Any, count: int, events: int) -> list[UUID]:
    """Insert templates, and events of two days, most of them on the second."""
    rows = list(templates(count, 0))
    await connection.copy_records_to_table("pattern_templates", records=rows, columns=_COLUMNS)
    ids = [row[0] for row in rows]
    chance = random.Random(1)  # noqa: S311 (test data)
    columns = ("pattern_id", "success", "execution_time_ms", "quality_before", "quality_after", "used_at")

    def some(size: int, start: datetime) -> Iterator[tuple[Any, ...]]:
        for _ in range(size):
            moment = start + timedelta(seconds=chance.randrange(86_400))
            before = chance.random()
            yield chance.choice(ids), chance.random() < 0.8, chance.randrange(500), before, before + 0.1, moment

    for size, start in ((events // 10, DAY - timedelta(days=1)), (events, DAY)):
        await connection.copy_records_to_table("pattern_usage_events", records=some(size, start), columns=columns)
    await connection.execute("VACUUM ANALYZE")
    return ids


async def measure(calls: int, *sides: Call) -> list[list[float]]:
    """Call all sides in turns; return the milliseconds of each call, by side."""
    times: list[list[float]] = [[] for _ in sides]
    for number in range(calls + 50):
        for offset in range(len(sides)):
            side = (number + offset) % len(sides)
            begun = time.perf_counter()
            result = await sides[side]()
            times[side].append((time.perf_counter() - begun) * 1000)
            if isinstance(result, ModelResult) and not result.success:
                raise RuntimeError(result.error)
    return [side[50:] for side in times]


def operations(manager: PatternDatabaseManager, ids: list[UUID]) -> list[Operation]:
    """Return all operations that are compared."""
    storage, query = NodePatternStorageEffect(manager.pool), NodePatternQueryEffect(manager.pool)
    usage, analytics = NodePatternUpdateEffect(manager.pool), NodePatternAnalyticsEffect(manager.pool)
    chance = random.Random(2)  # noqa: S311 (test data)

    def some() -> UUID:
        return chance.choice(ids)

    def data() -> dict[str, Any]:
        name = uuid4().hex
        return {
            "pattern_name": name,
            "pattern_type": "code",
            "language": "python",
            "description": "retries a request",
            "template_code": "def f(): ...",
            "tags": ["a", "b"],
        }

    def inserted() -> tuple[Any, ...]:
        name, kind, *others = data().values()
        return uuid4(), name, kind, False, *others

    further = tuple(TEMPLATE[name] for name in ("language", "description", "template_code", "tags"))
    insert_sql = insert("learning_insert", further, 5)
    change = {"category": "net", "confidence_score": 0.5}
    update_sql = update(tuple(CHANGEABLE[name] for name in change))
    event = {"execution_time_ms": 12, "quality_before": 0.5, "quality_after": 0.75}
    usage_sql = insert("learning_record_usage", tuple(USAGE[name] for name in event), 5)
    search_sql, _ = filtered("learning_search", {}, 6)
    top_sql, _ = filtered("learning_top", {}, 3)
    get_sql = statement("learning_get")
    period = {"period_start": DAY, "period_end": DAY + timedelta(days=1)}

    async def compute(connection: Any) -> None:
        row = await connection.fetchval(statement("learning_compute"), *period.values(), some())
        await connection.fetchrow(statement("learning_analytics_row"), row)

    async def search(connection: Any) -> None:
        word = f"0x{chance.randrange(len(ids)):x}"
        if len(await connection.fetch(search_sql, 10, 0, word, [word], True)) < 10:
            await connection.fetch(search_sql, 10, 0, word, [word], False)

    return [
        Operation(
            "insert",
            "15 to 25",
            lambda: storage.execute_effect(ModelContractEffect("insert", data=data())),
            lambda connection: connection.fetchrow(insert_sql, *inserted()),
        ),
        Operation(
            "update",
            "12 to 20",
            lambda: storage.execute_effect(ModelContractEffect("update", pattern_id=some(), data=change)),
            lambda connection: connection.fetchrow(update_sql, some(), *change.values()),
        ),
        Operation(
            "record_usage",
            "12 to 20",
            lambda: usage.execute_effect(ModelContractEffect("record_usage", pattern_id=some(), usage_data=event)),
            lambda connection: connection.fetchrow(usage_sql, uuid4(), some(), uuid4(), True, *event.values()),
        ),
        Operation(
            "get_by_id",
            "8 to 15",
            lambda: query.execute_effect(ModelContractEffect("get_by_id", pattern_id=some())),
            lambda connection: connection.fetchrow(get_sql, some()),
        ),
        Operation(
            "search",
            "8 to 15",
            lambda: query.execute_effect(
                ModelContractEffect("search", search_query=f"0x{chance.randrange(len(ids)):x}")
            ),
            search,
            100,
        ),
        Operation(
            "get_top",
            "8 to 15",
            lambda: query.execute_effect(ModelContractEffect("get_top")),
            lambda connection: connection.fetch(top_sql, 10, 0),
            200,
        ),
        Operation(
            "get_effectiveness",
            "45 to 80",
            lambda: analytics.execute_effect(ModelContractEffect("get_effectiveness", pattern_id=some())),
            lambda connection: connection.fetchrow(statement("learning_effectiveness"), some()),
        ),
        Operation(
            "compute_analytics",
            "45 to 80",
            lambda: analytics.execute_effect(ModelContractEffect("compute_analytics", pattern_id=some(), **period)),
            compute,
            200,
        ),
    ]


async def tracing(manager: PatternDatabaseManager, ids: list[UUID]) -> Row:
    """Measure what tracing adds to an operation: it is on and off in turns of 50 calls."""
    node = NodePatternUpdateEffect(manager.pool)
    tracer = await get_pattern_tracer("benchmark")
    chance = random.Random(3)  # noqa: S311 (test data)
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(80):
        tracer.enabled = turn % 2 == 0
        for _ in range(50):
            contract = ModelContractEffect("record_usage", pattern_id=chance.choice(ids), usage_data={})
            begun = time.perf_counter()
            await node.execute_effect(contract)
            times[tracer.enabled].append((time.perf_counter() - begun) * 1000)
    tracer.enabled = False
    await tracer.flush()
    traced, plain = (statistics.median(times[enabled]) for enabled in (True, False))
    return Row(
        "record_usage traced, of untraced", traced / plain, "times", "≤ 1.05", f"{traced:.3f} ms, {plain:.3f} ms"
    )


async def crowded(manager: PatternDatabaseManager, connection: Any, ids: list[UUID]) -> Row:
    """Measure an event on a template with many events, beside templates with few."""
    node = NodePatternUpdateEffect(manager.pool)
    chance = random.Random(4)  # noqa: S311 (test data)
    events = [(ids[0], number % 3 > 0, DAY + timedelta(milliseconds=number)) for number in range(CROWD)]
    columns = ("pattern_id", "success", "used_at")
    await connection.copy_records_to_table("pattern_usage_events", records=events, columns=columns)

    def use(pattern: UUID) -> Awaitable[Any]:
        return node.execute_effect(ModelContractEffect("record_usage", pattern_id=pattern, usage_data={}))

    sides = await measure(500, lambda: use(ids[0]), lambda: use(chance.choice(ids)))
    many, few = (statistics.median(side) for side in sides)
    name = f"record_usage on a template with {CROWD:,} events, of one with few"
    return Row(name, many / few, "times", "≤ 1.3", f"{many:.3f} ms, {few:.3f} ms")


async def batches(manager: PatternDatabaseManager, connection: Any) -> Row:
    """Measure ``batch_insert`` beside COPY of the same rows, in templates per second."""
    node = NodePatternStorageEffect(manager.pool)
    ratios, speeds = [], []
    for number in range(ROUNDS):
        seconds = []
        for side in (0, 1) if number % 2 else (1, 0):
            rows = list(templates(BATCH, 10 + 2 * number + side))
            given = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
            begun = time.perf_counter()
            if side:
                result = await node.execute_effect(ModelContractEffect("batch_insert", patterns=given))
                if not result.success:
                    raise RuntimeError(result.error)
            else:
                await connection.copy_records_to_table("pattern_templates", records=rows, columns=_COLUMNS)
            seconds.append((side, time.perf_counter() - begun))
        taken = dict(seconds)
        ratios.append(taken[0] / taken[1])
        speeds.append((BATCH / taken[1], BATCH / taken[0]))
    ours, copy = (statistics.median(side) for side in zip(*speeds, strict=True))
    note = f"{ours:,.0f} templates/s, {copy:,.0f} templates/s"
    return Row(f"{BATCH:,} templates by batch_insert, beside COPY", statistics.median(ratios), "times", "≥ 0.3", note)


async def a_day(config: PostgresConfig, events: int) -> Row:
    """Measure a day's analytics: the row over all templates and the row of each."""
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        done = await compute_period(config, Period(DAY, DAY + timedelta(days=1)))
        seconds.append(time.perf_counter() - begun)
    note = f"{done.pattern_rows:,} templates used, {done.total_usage_count:,} events"
    return Row(f"a day's analytics over {events:,} events", statistics.median(seconds), "s", "", note)


async def compare(config: PostgresConfig, ids: list[UUID], where: str) -> list[Row]:
    """Measure each operation beside its statement, in rounds with fresh connections: some get better cores.

    :param where: where the server is, for the names of the rows
    """
    rounds: dict[str, list[list[list[float]]]] = {}
    published: dict[str, str] = {}
    for _ in range(ROUNDS):
        manager = PatternDatabaseManager(config=config)
        await manager.initialize()
        try:
            async with _pool(config) as pool, pool.acquire() as held:
                for operation in operations(manager, ids):
                    sides = await measure(operation.calls, operation.ours, *_by_hand(operation.statement, pool, held))
                    rounds.setdefault(operation.name, []).append(sides)
                    published[operation.name] = operation.published
        finally:
            await manager.close()
    return [_row(f"{name}, {where}", seen, published[name]) for name, seen in rounds.items()]


def _by_hand(statement: Statement, pool: Any, held: Any) -> tuple[Call, Call]:
    async def with_the_pool() -> None:
        async with pool.acquire() as connection:
            await statement(connection)

    return with_the_pool, lambda: statement(held)


def _row(name: str, rounds: list[list[list[float]]], published: str) -> Row:
    """Sum up the rounds of an operation: ours, with a pool by hand, the bare statement."""
    medians = [[statistics.median(side) for side in sides] for sides in rounds]
    of_pool, of_bare = (statistics.median(each[0] / each[side] for each in medians) for side in (1, 2))
    ours, pool, bare = ([call for sides in rounds for call in sides[side]] for side in range(3))
    return Row(
        f"{name}: of the statement with pool.acquire()",
        of_pool,
        "times",
        "≤ 0.8",
        f"p50 {statistics.median(ours):.3f} ms, p99 {statistics.quantiles(ours, n=100)[98]:.3f} ms; with "
        f"pool.acquire() {statistics.median(pool):.3f} ms; {of_bare:.2f} times the bare statement, "
        f"{statistics.median(bare):.3f} ms; published {published} ms",
    )


async def run(config: PostgresConfig, distant: PostgresConfig, count: int, events: int) -> list[Row]:
    """Fill the database and measure everything.

    :param distant: the same server at a distance
    """
    lines: list[Row] = []
    async with _pool(config) as pool, pool.acquire() as connection:
        ids = await load(connection, count, events)
        lines.append(await a_day(config, events))
        lines += await compare(distant, ids, f"server {ROUND_TRIP_SECONDS * 1000:g} ms away")
        lines += await compare(config, ids, "server on this machine")
        manager = PatternDatabaseManager(config=config)
        await manager.initialize()
        try:
            lines.append(await tracing(manager, ids))
            lines.append(await crowded(manager, connection, ids))
            lines.append(await batches(manager, connection))
        finally:
            await manager.close()
    return lines


@asynccontextmanager
async def _pool(config: PostgresConfig) -> AsyncIterator[Any]:
    """Make a pool as a user would."""
    arguments = asyncpg_arguments(config, SETTINGS)
    async with asyncpg.create_pool(
        **arguments, command_timeout=COMMAND_TIMEOUT_SECONDS, min_size=5, max_size=20
    ) as pool:
        yield pool


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    templates, events = SIZES[parser.parse_args().size]
    logging.basicConfig(level=logging.WARNING)
    with Servers.running() as servers, servers.database(0) as workload:
        with psycopg.connect(workload.dsn) as connection:
            version = connection.info.server_version // 10_000
        with at_a_distance(postgres_of(workload)) as distant:
            lines = asyncio.run(run(postgres_of(workload), distant, templates, events))
    save("learning", f"PostgreSQL {version}, {templates:,} templates, {events:,} usage events", lines)


if __name__ == "__main__":
    main()
