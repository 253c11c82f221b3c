"""Large rows: a page holds fewer of them, so that memory does not depend on their size."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest

from code_patterns.sync.diff import FIRST_ID, Watermark
from code_patterns.sync.pattern import SourceRow
from code_patterns.sync.source import PatternSource
from tests.support.two_sides import TwoSides, rows

PAGE_BYTES = 256 * 1024
LARGE = PAGE_BYTES // 8


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a size that test data exceed quickly."""
    monkeypatch.setattr("code_patterns.sync.source.PAGE_BYTES", PAGE_BYTES)


def code(size: int, seed: int) -> str:
    """Text that PostgreSQL cannot store in much less than its length."""
    return base64.b64encode(random.Random(seed).randbytes(size * 3 // 4)).decode()


def fill(sides: TwoSides) -> list[UUID]:
    """Twenty large rows among small ones, and one that is larger than a page may be."""
    sizes = [LARGE] * 20 + [PAGE_BYTES + LARGE]
    made = rows(40 + len(sizes))
    for number, size in enumerate(sizes):
        made[2 * number]["pattern_data"] = json.dumps({"code": code(size, number)})
    sides.insert(made)
    return [row["id"] for row in made]


def pages_of(sides: TwoSides, read: Callable[[PatternSource], AsyncIterator[list[SourceRow]]]) -> list[list[SourceRow]]:
    async def collect() -> list[list[SourceRow]]:
        async with PatternSource.open(sides.as_sync) as source:
            return [page async for page in read(source)]

    return asyncio.run(collect())


def assert_bounded(pages: list[list[SourceRow]]) -> None:
    for page in pages:
        assert len(page) == 1 or sum(len(row.pattern_data or "") for row in page) <= PAGE_BYTES + LARGE
    assert max(len(page) for page in pages) > 1


def test_pages_in_id_order_stay_small_and_miss_nothing(sides: TwoSides) -> None:
    ids = fill(sides)
    pages = pages_of(sides, lambda source: source.code_pages())
    assert [row.id for page in pages for row in page] == sorted(ids)
    assert_bounded(pages)


def test_pages_of_changes_stay_small_and_miss_nothing(sides: TwoSides) -> None:
    ids = fill(sides)
    sides.settle()

    async def changed(source: PatternSource) -> AsyncIterator[list[SourceRow]]:
        async for page in source.changed_pages((await source.horizon()).since(Watermark(0, FIRST_ID))):
            yield page

    pages = pages_of(sides, changed)
    assert sorted(row.id for page in pages for row in page) == sorted(ids)
    assert_bounded(pages)


def test_both_sides_agree_in_the_end(sides: TwoSides) -> None:
    fill(sides)
    result = sides.sync("full")
    assert (result.counts["new"], result.counts["parked"], result.parity) == (61, 0, "proven")
    sides.assert_equal_sides()
