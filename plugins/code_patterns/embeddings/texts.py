"""Prepare texts for every embedder."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

_TOKEN = re.compile(r"[A-Z]?[a-z]{1,5}|[A-Z]{1,3}|[0-9]{1,2}|[^\sA-Za-z0-9]|\s{16}")
"""About one token of an embedding model. The model's own tokenizer is not available. The limit is found by asking, so
only the proportions between texts matter; by counting characters these would be wrong by a factor of four."""


def prepare(texts: Sequence[str], max_characters: int) -> list[str]:
    """Cut texts and make them valid Unicode.

    :param texts: texts as they come from the database
    :param max_characters: longest text; 0 cuts nothing
    :return: the texts in the same order; lone surrogates, which UTF-8 cannot hold, are ``?``
    """
    limit = max_characters or None
    return [text[:limit].encode("utf-8", "replace").decode("utf-8") for text in texts]


def count_tokens(text: str) -> int:
    """Estimate how many tokens a text has."""
    return sum(1 for _ in _TOKEN.finditer(text))


def first_tokens(text: str, count: int) -> str:
    """Return the beginning of a text with this many estimated tokens, or all of it.

    :param count: number of tokens, at least 1
    """
    # No token is shorter than one character.
    if len(text) <= count:
        return text
    ends: Iterator[int] = (match.end() for match in _TOKEN.finditer(text))
    last = next(islice(ends, count - 1, None), None)
    return text if last is None or next(ends, None) is None else text[:last]
