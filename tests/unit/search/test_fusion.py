"""The order of what two sides found."""

import pytest

from code_patterns.search.fusion import FOR_NAMES_AND_CODE, FOR_QUESTIONS, fuse


def test_ranks_count_and_not_scores() -> None:
    found = fuse({"a": 900.0, "b": 899.0}, {"b": 0.2, "c": 0.1}, FOR_QUESTIONS)
    assert [candidate.id for candidate in found] == ["b", "c", "a"]
    assert [candidate.score for candidate in found] == pytest.approx([1 / 4 + 2 / 3, 2 / 4, 1 / 3])
    assert [(candidate.words, candidate.meaning) for candidate in found] == [(899.0, 0.2), (None, 0.1), (900.0, None)]


def test_names_and_code_trust_words() -> None:
    assert [candidate.id for candidate in fuse({"a": 2.0}, {"b": 1.0}, FOR_NAMES_AND_CODE)] == ["a", "b"]
    assert [candidate.id for candidate in fuse({"a": 2.0}, {"b": 1.0}, FOR_QUESTIONS)] == ["b", "a"]


def test_one_side_keeps_its_scores_and_equal_ones_are_in_order_of_their_ids() -> None:
    found = fuse({"b": 1.0, "a": 1.0, "c": 3.0}, None, FOR_QUESTIONS)
    assert [(candidate.id, candidate.score, candidate.meaning) for candidate in found] == [
        ("c", 3.0, None),
        ("a", 1.0, None),
        ("b", 1.0, None),
    ]
    assert fuse({}, None, FOR_QUESTIONS) == []
