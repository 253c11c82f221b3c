"""How alike two texts are, as PostgreSQL's extension pg_trgm measures it, which no database here needs to have."""

import re

_WORDS = re.compile(r"[^\W_]+")


def similarity(one: str, other: str) -> float:
    """Return the share of common groups of three characters, from 0 to 1.

    Case, punctuation and the order of words do not matter.
    """
    ours, theirs = _trigrams(one), _trigrams(other)
    return len(ours & theirs) / len(ours | theirs) if ours and theirs else 0.0


def _trigrams(text: str) -> set[str]:
    padded = (f"  {word} " for word in _WORDS.findall(text.lower()))
    return {word[at : at + 3] for word in padded for at in range(len(word) - 2)}
