"""The storage layer for pattern learning as an application uses it: store templates, record uses, read analytics."""

import ast
import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from code_patterns.servers.postgres import PostgresConfig
from demo.errors import DemoError
from demo.harvest import Pattern
from pattern_learning import (
    ModelContractEffect,
    NodePatternAnalyticsEffect,
    NodePatternStorageEffect,
    NodePatternUpdateEffect,
    PatternDatabaseManager,
)

TEMPLATES = 40
DAYS = 7
TOP = 5
_ANALYTICS = Path(__file__).with_name("sql") / "analytics_of_day.sql"


@dataclass(frozen=True)
class Learned:
    """What an application has stored.

    :param templates: templates
    :param events: usage events
    :param day: the last day of use, yesterday
    :param events_of_day: events of that day
    """

    templates: int
    events: int
    day: date
    events_of_day: int


@dataclass(frozen=True)
class Analysis:
    """What the daily analytics say.

    :param totals: the row over all templates
    :param top: rows of the most used templates of the day
    :param trend: use of each of the last days, over all templates
    """

    totals: Mapping[str, Any]
    top: Sequence[Mapping[str, Any]]
    trend: Sequence[Mapping[str, Any]]


def learn(database: PostgresConfig, patterns: Sequence[Pattern]) -> Learned:
    """Store patterns as templates and record a week of their use.

    :raises DemoError: an operation failed
    """
    return asyncio.run(_learn(database, patterns))


def analyse(database: PostgresConfig, day: date) -> Analysis:
    """Read what the analytics of a day say.

    :raises DemoError: an operation failed
    """
    return asyncio.run(_analyse(database, day))


async def _learn(database: PostgresConfig, patterns: Sequence[Pattern]) -> Learned:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    manager = PatternDatabaseManager(config=database)
    await manager.initialize()
    try:
        storage, usage = NodePatternStorageEffect(manager.pool), NodePatternUpdateEffect(manager.pool)
        chosen = [pattern for pattern in patterns if pattern.pattern_type == "code"][:: len(patterns) // TEMPLATES]
        unique = {pattern.pattern_name: _template(pattern) for pattern in chosen[:TEMPLATES]}
        stored = await _do(storage, "batch_insert", patterns=list(unique.values()))
        events = [
            (identity, _event(number, day, use, today - timedelta(days=DAYS - day)))
            for number, identity in enumerate(stored["pattern_ids"])
            for day in range(DAYS)
            for use in _uses(number, day)
        ]
        waiting = iter(events)

        async def record() -> None:
            for identity, event in waiting:
                await _do(usage, "record_usage", pattern_id=identity, usage_data=event)

        await asyncio.gather(*(record() for _ in range(8)))
    finally:
        await manager.close()
    yesterday = today - timedelta(days=1)
    return Learned(
        templates=stored["count"],
        events=len(events),
        day=yesterday.date(),
        events_of_day=sum(event["used_at"] >= yesterday for _, event in events),
    )


def _template(pattern: Pattern) -> dict[str, Any]:
    data = json.loads(pattern.pattern_data)
    # Older rows hold JSON inside a JSON string.
    code = (json.loads(data) if isinstance(data, str) else data)["code"]
    definition = ast.parse(code).body[0]
    summary = ast.get_docstring(definition) if isinstance(definition, ast.FunctionDef | ast.ClassDef) else None
    return {
        "pattern_name": pattern.pattern_name,
        "pattern_type": pattern.pattern_type,
        "language": pattern.language,
        "template_code": code,
        "description": (summary or "").partition("\n")[0] or None,
        "source": pattern.file_path,
        "tags": [pattern.file_path.partition("/")[0].removesuffix(".py")],
    }


def _uses(number: int, day: int) -> Iterator[int]:
    """Return the uses of one template on one day: some templates gain, some lose, many are hardly used."""
    most = 36 // (1 + number)
    yield from range(most * (day + 1) // DAYS if number % 2 == 0 else most * (DAYS - day) // DAYS)


def _event(number: int, day: int, use: int, start: datetime) -> dict[str, Any]:
    return {
        "used_at": start + timedelta(hours=8, minutes=7 * use + number),
        "success": (number + day + use) % 5 > 0,
        "execution_time_ms": 20 + 3 * number + use,
        "quality_before": 0.5,
        "quality_after": 0.5 + (number % 4) / 16,
    }


async def _analyse(database: PostgresConfig, day: date) -> Analysis:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    manager = PatternDatabaseManager(config=database, min_pool_size=1)
    await manager.initialize()
    try:
        analytics = NodePatternAnalyticsEffect(manager.pool)
        async with manager.acquire() as connection:
            rows = await connection.fetch(_ANALYTICS.read_text("utf-8"), start)
        if not rows:
            raise DemoError(f"There are no analytics of {day}.")
        period = {"period_start": start - timedelta(days=DAYS - 1), "period_end": start + timedelta(days=1)}
        trend = await _do(analytics, "get_usage_trends", **period)
    finally:
        await manager.close()
    return Analysis(dict(rows[0]), [dict(row) for row in rows[1 : 1 + TOP]], trend)


async def _do(node: Any, operation: str, **arguments: Any) -> Any:
    result = await node.execute_effect(ModelContractEffect(operation, **arguments))
    if not result.success:
        raise DemoError(f"{operation} failed: {result.error}")
    return result.data
