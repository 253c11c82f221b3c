"""The words of a single pattern."""

from collections.abc import Sequence

from code_patterns.embeddings.words import PatternTexts, Words, words_of


def words_of_one(texts: Sequence[str], name: str | None = None, path: str = "") -> Words:
    """Its words; see :class:`~code_patterns.embeddings.words.PatternTexts`."""
    [words] = words_of([PatternTexts(texts, name, path)])
    return words
