"""Bad items are found among many, by few attempts."""

import asyncio
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_patterns.bisection import HOPELESS_PARTS, bisect
from code_patterns.codes import Code
from code_patterns.errors import OutageError, PatternsError


class RefusedError(PatternsError):
    """The items are bad."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Code.POINT_REFUSED, message)


def tried(count: int, bad: set[int], parts: int = 1) -> tuple[list[int], list[int], int]:
    """The items that were processed, those that were rejected, and the number of attempts."""
    done: list[int] = []
    attempts = 0

    async def attempt(items: Sequence[int]) -> None:
        nonlocal attempts
        attempts += 1
        if blamed := bad.intersection(items):
            raise RefusedError(f"{min(blamed)}")
        done.extend(items)

    rejected = asyncio.run(bisect(range(count), attempt, RefusedError, parts))
    assert [error.message for _, error in rejected] == [str(item) for item, _ in rejected]
    return sorted(done), [item for item, _ in rejected], attempts


def test_items_are_tried_in_parts() -> None:
    assert tried(100, set(), parts=4) == (list(range(100)), [], 4)
    done, rejected, attempts = tried(100, {99}, parts=4)
    assert (done, rejected) == (list(range(99)), [99])
    assert attempts <= 4 + 2 * math.ceil(math.log2(25)), "only the part of the bad one is halved"
    assert tried(0, set(), parts=4) == ([], [], 0)


@given(st.integers(0, 300).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, max(0, count - 1))))))
def test_every_bad_item_is_rejected_alone_and_every_other_is_processed_once(given: tuple[int, set[int]]) -> None:
    count, bad = given[0], given[1] if given[0] else set()
    done, rejected, attempts = tried(count, bad)
    assert rejected == sorted(bad)
    assert done == [item for item in range(count) if item not in bad]
    assert attempts <= max(2 * count - 1, 0)
    assert attempts <= count + 2 * HOPELESS_PARTS or attempts <= 1 + 2 * len(bad) * math.ceil(math.log2(count))


@given(st.integers(1, 300))
def test_hopeless_items_cost_about_one_attempt_each(count: int) -> None:
    _, rejected, attempts = tried(count, set(range(count)))
    assert len(rejected) == count
    assert attempts < count + 2 * HOPELESS_PARTS


@given(st.integers(1, 300).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))))
def test_a_single_bad_item_costs_two_attempts_for_each_halving(given: tuple[int, int]) -> None:
    count, bad = given
    _, rejected, attempts = tried(count, {bad})
    assert rejected == [bad]
    assert attempts <= 1 + 2 * math.ceil(math.log2(count))


@given(st.sets(st.integers(0, 499), min_size=1, max_size=HOPELESS_PARTS - 1))
def test_few_bad_items_are_found_by_halving(bad: set[int]) -> None:
    _, rejected, attempts = tried(500, bad)
    assert rejected == sorted(bad)
    assert attempts <= 1 + 2 * len(bad) * math.ceil(math.log2(500))


def test_the_items_of_one_part_wait_at_the_same_time() -> None:
    running = most = 0

    async def attempt(items: Sequence[int]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        raise RefusedError

    asyncio.run(bisect(range(64), attempt, RefusedError))
    assert most == 64


def test_another_error_ends_it_and_cancels_what_is_under_way() -> None:
    cancelled: list[int] = []

    async def attempt(items: Sequence[int]) -> None:
        if len(items) == 4:
            raise RefusedError
        if 0 in items:
            raise OutageError(Code.QDRANT_AWAY, "away")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.extend(items)
            raise

    with pytest.raises(OutageError, match="away"):
        asyncio.run(bisect(range(4), attempt, RefusedError))
    assert cancelled == [2, 3]
