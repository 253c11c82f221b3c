"""How long a text the model takes: every model has a limit, and no server tells it."""

import logging
import math
from collections.abc import Awaitable, Callable

from code_patterns.embeddings.texts import count_tokens, first_tokens

log = logging.getLogger(__name__)

HARMLESS_WORD = "function"
HARMLESS_LENGTH = 64
"""Estimated tokens, about 256 characters, that every model takes: a text of this length is refused for its content,
not for its length."""
SEARCH_STEPS = 10
"""Most requests to find a limit. Eight find it within 5 % for a text of a million tokens."""
PRECISION = 1.05
MARGIN = 3
"""The estimates of tokens differ between texts by less than this factor."""
STEP_DOWN = 0.9
"""A limit that is too high for another text is lowered by at least this factor, so few texts settle it."""


class LengthLimit:
    """The longest text, in estimated tokens, that the server is known to take.

    :param tokens: the limit, or ``None`` while no text was too long
    """

    def __init__(self, tokens: int | None = None) -> None:
        self.tokens = tokens
        self._accepted = 0

    def cut(self, text: str) -> str:
        """Return the part of a text that the server takes: all of it while no limit is known."""
        return text if self.tokens is None else first_tokens(text, self.tokens)

    def accepted(self, texts: list[str]) -> None:
        """Note that the server took these texts."""
        longest = max(texts, key=len)
        # Count only if the text may be the longest so far.
        if len(longest) > self._accepted:
            self._accepted = max(self._accepted, count_tokens(longest))

    def surprises(self, text: str) -> bool:
        """Whether the text is longer than all that the server took, so that its length may be the cause."""
        return count_tokens(text) > max(self._accepted, HARMLESS_LENGTH)

    async def find(self, text: str, accepts: Callable[[str], Awaitable[bool]]) -> str:
        """Find how much of a text the server takes, and keep that as the limit if it holds for other texts.

        :param text: a text that is refused whole, and accepted at :data:`HARMLESS_LENGTH`
        :param accepts: asks the server whether it accepts a text
        :return: the beginning that is accepted
        """
        low, high = HARMLESS_LENGTH, count_tokens(text)
        for _ in range(SEARCH_STEPS):
            if high <= low * PRECISION or high - low <= 1:
                break
            middle = max(low + 1, math.isqrt(low * high))
            if await accepts(first_tokens(text, middle)):
                low = middle
            else:
                high = middle
        # The rest may be refused for its content; a harmless text is refused only for its length.
        if not await accepts(" ".join([HARMLESS_WORD] * (high * MARGIN))):
            self.tokens = max(HARMLESS_LENGTH, low if self.tokens is None else min(low, int(self.tokens * STEP_DOWN)))
            log.info("Texts are cut to about %d tokens: the embedding server accepts no longer ones.", self.tokens)
        return first_tokens(text, low)
