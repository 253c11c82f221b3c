"""Similarity of texts, with the numbers that pg_trgm gives."""

import pytest

from pattern_learning.similarity import similarity


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("word", "two words", 4 / 11),
        ("retry", "retry", 1.0),
        ("Retry_With-Backoff", "backoff with retry", 1.0),
        ("AsyncDatabaseWriter", "writer", 5 / 22),
        ("retry", "cache", 0.0),
        ("--", "retry", 0.0),
        ("", "", 0.0),
        ("Größe", "GRÖSSE", 3 / 10),
    ],
)
def test_it_is_the_share_of_common_trigrams(one: str, other: str, expected: float) -> None:
    assert similarity(one, other) == similarity(other, one) == pytest.approx(expected)
