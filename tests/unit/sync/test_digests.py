"""Digests of id ranges: together they always cover every id, and each says what its own rows say."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_patterns.sync.diff import ALL_IDS, FIRST_ID, LAST_ID, IdRange
from code_patterns.sync.digests import Digests, KnownRange, RangeCutter, RangeDigest, hashes_of
from code_patterns.sync.pattern import HASHES, Pattern, SourceRow, pattern_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)
RECIPE = '["file-language-path-code/1","hashing-v1",64,"",null]'
ROWS = 10


@pytest.fixture(autouse=True, scope="module")
def small_ranges() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("code_patterns.sync.digests.RANGE_ROWS", ROWS)
        yield


def digests(known: Sequence[RangeDigest] = ()) -> Digests:
    return Digests(known, RECIPE, words=True)


def source_row(number: int, code: str = "pass") -> SourceRow:
    data = f'{{"code": "{code}"}}'
    digest = hashlib.sha256(f"{number} {code}".encode()).digest()
    return SourceRow(UUID(int=number), None, None, "code", None, data, None, None, None, None, 1, None, digest)


def pattern(row: SourceRow) -> Pattern:
    return pattern_of(row, RECIPE)


def cut(rows: Sequence[SourceRow], within: IdRange = ALL_IDS, pages: int = 100, **known: Digests) -> Digests:
    learnt = known.get("into", digests())
    cutter = RangeCutter(within, learnt)
    for start in range(0, len(rows), pages):
        page = rows[start : start + pages]
        cutter.add(page, [pattern(row) for row in page])
    cutter.end()
    return learnt


def without_gap(ranges: Sequence[KnownRange], within: IdRange = ALL_IDS) -> bool:
    whole = (ranges[0].ids.first, ranges[-1].ids.last) == (within.first, within.last)
    return whole and all(one.ids.last.int + 1 == other.ids.first.int for one, other in pairwise(ranges))


@given(st.lists(st.integers(0, 2**128 - 1), max_size=60, unique=True), st.integers(1, 30))
def test_ranges_cover_every_id_and_hold_every_row(numbers: list[int], pages: int) -> None:
    rows = [source_row(number) for number in sorted(numbers)]
    learnt = cut(rows, pages=pages)
    ranges = learnt.ranges()
    assert without_gap(ranges)
    for one in ranges:
        inside = [row for row in rows if one.ids.first <= row.id <= one.ids.last]
        assert len(inside) <= ROWS * 3 // 2
        if one.known:
            assert one.known.rows == hashlib.sha256(b"".join(row.digest or b"" for row in inside)).digest()
            assert one.known.points == learnt.of([hashes_of(pattern(row)) for row in inside])
    assert sum(1 for one in ranges if one.known is None) == (not rows)


@given(st.data())
def test_a_range_is_learnt_anew_in_the_middle(data: st.DataObject) -> None:
    numbers = sorted(data.draw(st.lists(st.integers(0, 2**128 - 1), min_size=40, max_size=40, unique=True)))
    learnt = cut([source_row(number) for number in numbers])
    before = learnt.ranges()
    one = data.draw(st.sampled_from(before))
    kept = data.draw(st.booleans())
    inside = [source_row(n, "other") for n in numbers if one.ids.first.int <= n <= one.ids.last.int and kept]
    cut(inside, one.ids, into=learnt)
    after = learnt.ranges()
    assert without_gap(after)
    others = [known for known in before if known != one]
    assert [known.known for known in after if known.known in [other.known for other in others]] == [
        other.known for other in others
    ]


def test_a_row_of_which_no_pattern_can_be_made_is_never_passed_over() -> None:
    learnt = digests()
    cutter = RangeCutter(ALL_IDS, learnt)
    cutter.add([source_row(1), source_row(2)], [pattern(source_row(1))])
    cutter.end()
    [only] = learnt.ranges()
    assert only.known
    assert only.known.points == b""


def test_the_same_hashes_by_another_recipe_have_another_digest() -> None:
    hashes = [hashes_of(pattern(source_row(1)))]
    recipes = [(RECIPE, True), (RECIPE, False), (RECIPE.replace("64", "65"), True)]
    assert len({Digests((), recipe, words=words).of(hashes) for recipe, words in recipes}) == len(recipes)


def test_other_hashes_of_the_same_row_need_another_number() -> None:
    """Kept digests say which hashes the points of some rows have; who changes these must change ``HASHES`` too."""
    row = replace(source_row(1), pattern_name="f", file_path="a/b.py", language="python", metadata='{"x": [1, 2.5]}')
    hashes = "9b4484f8965053439400e0d7a319b8ec", "c6ba6efaf86451e3e348205777e3d33b", "86f3e6d84da4908d329d426071d92b37"
    assert (HASHES, hashes_of(pattern(row))) == (1, (str(row.id), *hashes))


def known(number: int, nights_ago: float | None) -> RangeDigest:
    whole_at = None if nights_ago is None else NOW - timedelta(days=nights_ago)
    return RangeDigest(UUID(int=number), b"r", b"p", whole_at)


@pytest.mark.parametrize(
    ("nights", "ages", "due"),
    [
        (1, [None, 1.0, 3.0], {0, 1, 2}),
        (2, [None, 1.0, 3.0], {0, 2}),
        (3, [2.0, 1.0, 3.0], {2}),
        (7, [1.0, 2.0], {1}),
        (1, [], set()),
        # Read whole since tonight began: done, also if it is not the whole share.
        (1, [-0.1, 1.0, None], {1, 2}),
        (3, [-0.1, 1.0, None], set()),
        (2, [-0.1, 1.0, None, 2.0], {2}),
    ],
)
def test_the_ranges_that_waited_longest_are_read_whole(nights: int, ages: list[float | None], due: set[int]) -> None:
    ranges = digests([known(number, age) for number, age in enumerate(ages)])
    assert ranges.due(nights, NOW) == {UUID(int=number) for number in due}


def test_every_range_comes_within_its_nights() -> None:
    ranges = digests([known(number, None) for number in range(100)])
    seen: set[UUID] = set()
    for night in range(7):
        since = NOW + timedelta(days=night)
        due = ranges.due(7, since)
        assert len(due) == 15
        seen |= due
        for one in ranges.ranges():
            if one.known and one.known.first in due:
                first, rows, points = one.known.first, one.known.rows, one.known.points
                ranges.learn(one.ids, RangeDigest(first, rows, points, since + timedelta(hours=1)))
    assert len(seen) == 100


def test_changed_rows_do_not_put_off_the_night_of_their_range() -> None:
    ranges = digests([known(0, 5.0), known(10, 2.0)])
    [first, _] = ranges.ranges()
    ranges.learn(first.ids, RangeDigest(FIRST_ID, b"new", b"new"))
    assert [one.known and one.known.whole_at for one in ranges.ranges()] == [
        NOW - timedelta(days=5),
        NOW - timedelta(days=2),
    ]


def test_a_range_without_rows_becomes_part_of_its_neighbour() -> None:
    ranges = digests([known(0, None), known(10, None), known(20, None)])
    ranges.learn(IdRange(UUID(int=10), UUID(int=19)), None)
    assert [(one.ids.first.int, one.ids.last) for one in ranges.ranges()] == [
        (0, UUID(int=19)),
        (20, LAST_ID),
    ]
