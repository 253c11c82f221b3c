"""How long a text may be for the model, which no server tells and every model has."""

import logging
import math
from collections.abc import Awaitable, Callable

from code_patterns.embeddings.texts import count_tokens, first_tokens

log = logging.getLogger(__name__)

HARMLESS_WORD = "function"
HARMLESS_LENGTH = 64
"""Estimated tokens, about 256 characters, that every model takes: a text refused at this length is refused for what it
says."""
SEARCH_STEPS = 10
"""Requests at most to find a limit. Eight find it within 5 % in a text of a million tokens."""
PRECISION = 1.05
MARGIN = 3
"""Texts differ by less than this factor in how well their tokens are estimated."""
STEP_DOWN = 0.9
"""A limit that proves too high for another text falls by at least this factor, so that a few texts settle it."""


class LengthLimit:
    """The longest text, in estimated tokens, that the server is known to take.

    :param tokens: what an earlier run found, or ``None`` as long as no text was too long
    """

    def __init__(self, tokens: int | None = None) -> None:
        self.tokens = tokens
        self._accepted = 0

    def cut(self, text: str) -> str:
        """Return what of a text the server takes: all of it as long as no limit is known."""
        return text if self.tokens is None else first_tokens(text, self.tokens)

    def accepted(self, texts: list[str]) -> None:
        """Note that the server took these texts."""
        longest = max(texts, key=len)
        # Counting is worth its time only where the text may be the longest so far.
        if len(longest) > self._accepted:
            self._accepted = max(self._accepted, count_tokens(longest))

    def surprises(self, text: str) -> bool:
        """Whether the text is longer than all that the server has taken, so that its length may be its fault."""
        return count_tokens(text) > max(self._accepted, HARMLESS_LENGTH)

    async def find(self, text: str, accepts: Callable[[str], Awaitable[bool]]) -> str:
        """Find how much of a text the server takes, and keep that as the limit if it holds for other texts too.

        :param text: a text that is refused whole, and taken at :data:`HARMLESS_LENGTH`
        :param accepts: asks the server
        :return: the beginning that is taken
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
        # The rest may be refused for what it says; a harmless text is refused for its length only.
        if not await accepts(" ".join([HARMLESS_WORD] * (high * MARGIN))):
            self.tokens = max(HARMLESS_LENGTH, low if self.tokens is None else min(low, int(self.tokens * STEP_DOWN)))
            log.info("Texts are cut to about %d tokens: the embedding server takes no longer ones.", self.tokens)
        return first_tokens(text, low)
