"""Cutting the ids of a full sync into ranges."""

import uuid
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from code_patterns.sync.diff import FIRST_ID, LAST_ID, Action, Change
from code_patterns.sync.partition import cut
from code_patterns.sync.pattern import SourceRow, pattern_of

ROW = SourceRow(uuid.UUID(int=1), "p", "f", "code", "1", '{"code": "x = 1"}', "{}", None, "f.py", "python", 7)
PATTERN = pattern_of(ROW, "recipe")


def sample(needs: list[bool], ids: list[int] | None = None) -> list[Change]:
    """Sampled patterns, of which some are to be written."""
    numbers = ids or [number * 1000 for number in range(len(needs))]
    return [
        Change(uuid.UUID(int=number), Action.NEW if needed else Action.UNCHANGED, PATTERN)
        for number, needed in zip(numbers, needs, strict=True)
    ]


@given(
    st.lists(st.tuples(st.integers(0, 2**128 - 1), st.booleans()), unique_by=lambda pair: pair[0], max_size=60),
    st.integers(0, 12),
)
def test_ranges_leave_no_id_out_and_none_twice(pairs: list[tuple[int, bool]], wanted: int) -> None:
    pairs.sort()
    ranges = cut(sample([needed for _, needed in pairs], [number for number, _ in pairs]), wanted)
    assert len(ranges) in (0, *range(2, max(wanted, 1) + 1))
    if ranges:
        assert (ranges[0].first, ranges[-1].last) == (FIRST_ID, LAST_ID)
        assert all(one.last.int + 1 == other.first.int for one, other in pairwise(ranges))
        assert all(one.first <= one.last for one in ranges)


def test_shares_are_equal_in_what_is_to_be_written() -> None:
    needs = [False] * 500 + [True] * 300 + [False] * 100 + [True] * 100
    changes = sample(needs)
    ranges = cut(changes, 4)
    written = [
        sum(part.first <= change.id <= part.last for change in changes if change.action is Action.NEW)
        for part in ranges
    ]
    assert written == [100] * 4


def test_without_anything_to_write_shares_are_equal_in_patterns() -> None:
    changes = sample([False] * 90)
    ranges = cut(changes, 3)
    assert [sum(part.first <= change.id <= part.last for change in changes) for part in ranges] == [30] * 3


def test_fewer_patterns_than_ranges() -> None:
    assert len(cut(sample([True] * 3), 10)) == 3
    assert cut(sample([True]), 10) == []
    assert cut([], 10) == []
    assert cut(sample([True] * 50), 1) == []
