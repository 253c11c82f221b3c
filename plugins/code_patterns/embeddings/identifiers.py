"""Cut text into identifiers, and identifiers into their parts."""

import re
from collections.abc import Callable

_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
# Bytes beyond ASCII count as letters. Unicode's tables of letters differ between Python versions, and so would
# everything that is made of identifiers.
_ELSE_SPACE = bytes(byte if byte in _LETTERS or byte >= 0x80 else 0x20 for byte in range(256))
_PART = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z\x80-\xff]+|[0-9]+")

LONGEST_REMEMBERED = 100
"""Bytes of the longest identifier that a :class:`Memo` remembers."""


def identifiers(raw: bytes) -> list[bytes]:
    """The identifiers, words and numbers of a text in UTF-8, in order."""
    return raw.translate(_ELSE_SPACE).split()


def parts_of(identifier: bytes) -> list[bytes]:
    """The parts of an identifier: ``parseHttp_url`` → parse, Http, url."""
    return _PART.findall(identifier)


class Memo(dict[bytes, bytes]):
    """What a function makes of an identifier, remembered: the same ones come again and again.

    A dictionary that fills itself takes a third of the time of :func:`functools.lru_cache`. A very long identifier is
    not remembered: it is data, and does not come again.

    :param function: the function
    :param size: how many answers are remembered; then all are forgotten
    """

    def __init__(self, function: Callable[[bytes], bytes], size: int = 100_000) -> None:
        super().__init__()
        self._function = function
        self._size = size

    def __missing__(self, identifier: bytes) -> bytes:
        """Ask the function."""
        answer = self._function(identifier)
        if len(identifier) <= LONGEST_REMEMBERED:
            if len(self) >= self._size:
                self.clear()
            self[identifier] = answer
        return answer
