"""What one pattern needs, for every way in which its point can differ."""

import uuid
from dataclasses import replace
from typing import Any

import pytest

from code_patterns.sync.diff import Action, Fingerprint, decide
from code_patterns.sync.pattern import TRUNCATED, WORDS_HASH, SourceRow, pattern_of, words_of_patterns

ROW = SourceRow(
    uuid.UUID(int=1), "p", "name", "code", "1.0.0", '{"code": "x = 1"}', "{}", None, "a.py", "python", sync_xid=7
)
PATTERN = pattern_of(ROW, "recipe")
SAME = Fingerprint(ROW.id, PATTERN.embedding_hash, PATTERN.content_hash, PATTERN.words_hash)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (None, Action.NEW),
        (SAME, Action.UNCHANGED),
        (replace(SAME, truncated=True), Action.UNCHANGED),
        (replace(SAME, content_hash="other"), Action.PAYLOAD_ONLY),
        (replace(SAME, words_hash="other"), Action.WORDS_ONLY),
        (replace(SAME, words_hash=None), Action.WORDS_ONLY),
        (replace(SAME, words_hash="other", content_hash="other"), Action.WORDS_ONLY),
        (replace(SAME, embedding_hash="other"), Action.CHANGED),
        (replace(SAME, embedding_hash="other", words_hash="other"), Action.CHANGED),
        (Fingerprint(ROW.id, None, None, None), Action.CHANGED),
    ],
)
def test_the_cheapest_write_that_makes_the_point_right(point: Fingerprint | None, expected: Action) -> None:
    assert decide(ROW.id, ROW, point, "recipe").action is expected


@pytest.mark.parametrize("changed", [{"words_hash": None}, {"content_hash": "other"}])
def test_a_vector_that_stays_keeps_its_mark(changed: dict[str, Any]) -> None:
    for truncated in (True, False):
        change = decide(ROW.id, ROW, replace(SAME, truncated=truncated, **changed), "recipe")
        assert change.pattern
        assert (TRUNCATED in change.pattern.payload) is truncated


def test_a_collection_without_words_asks_for_none() -> None:
    new = decide(ROW.id, ROW, None, "recipe", words=False)
    assert new.pattern
    assert words_of_patterns([new.pattern]) == [None]
    assert WORDS_HASH not in new.pattern.payload
    assert decide(ROW.id, ROW, replace(SAME, words_hash=None), "recipe", words=False).action is Action.UNCHANGED
