"""A searcher over both sides, for tests without an event loop."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from code_patterns.search import Hit, SearchAnswer, SearchQuery, open_searcher
from tests.support.two_sides import TwoSides


def pattern(name: str, code: str = "", **columns: Any) -> dict[str, Any]:
    """A row, ready for INSERT."""
    return {
        "id": uuid.uuid4(),
        "pattern_id": name,
        "pattern_name": name,
        "pattern_type": "code",
        "pattern_data": json.dumps({"code": code or f"def {name}(): ..."}),
        "metadata": json.dumps({}),
        "file_path": f"src/{name}.py",
        "language": "python",
        **columns,
    }


def find(sides: TwoSides, text: str = "", **fields: Any) -> SearchAnswer:
    """Search once."""
    [answer] = find_all(sides, {"text": text, **fields})
    return answer


def find_all(sides: TwoSides, *queries: dict[str, Any]) -> list[SearchAnswer]:
    """Search several times with one searcher."""

    async def run() -> list[SearchAnswer]:
        async with open_searcher(sides.as_reader, sides.qdrant, sides.embedding, sides.collection) as searcher:
            return [await searcher.search(SearchQuery.read(query)) for query in queries]

    return asyncio.run(run())


def get(sides: TwoSides, name: str) -> Hit | None:
    """Get one pattern."""

    async def run() -> Hit | None:
        async with open_searcher(sides.as_reader, sides.qdrant, sides.embedding, sides.collection) as searcher:
            return await searcher.get(name)

    return asyncio.run(run())


def names(answer: SearchAnswer) -> list[str | None]:
    """The names of the hits, in order."""
    return [hit.pattern_name for hit in answer.hits]


def score(sides: TwoSides, row: dict[str, Any], quality: float, confidence: float | None = None) -> None:
    """Store the score of a row."""
    sides.execute(
        "INSERT INTO pattern_quality_metrics (pattern_id, quality_score, confidence) VALUES (%s, %s, %s)",
        (row["id"], quality, confidence),
    )


@pytest.fixture
def three(sides: TwoSides) -> TwoSides:
    """Three patterns, synced."""
    sides.insert(
        [
            pattern("parse_header", "def parse_header(line):\n    return line.split(':')"),
            pattern("send_mail", "def send_mail(to, body):\n    smtp.deliver(to, body)"),
            pattern("read_config", "def read_config(path):\n    return json.load(open(path))"),
        ]
    )
    sides.sync("full")
    return sides
