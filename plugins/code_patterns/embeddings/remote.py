"""An embedder behind a server."""

import asyncio
from collections.abc import Sequence

from code_patterns.embeddings.base import Embedded, EmbeddingConfig, RejectedInputError, Vectors
from code_patterns.embeddings.http import Dialect
from code_patterns.embeddings.length import HARMLESS_LENGTH, LengthLimit
from code_patterns.embeddings.model import ModelEmbedder
from code_patterns.embeddings.server import EmbeddingServer
from code_patterns.embeddings.texts import first_tokens, prepare
from code_patterns.servers.retry import RetryPolicy

SEARCH_ATTEMPTS = 2
"""Requests for one step in the search for a limit: a server may fail once on what it accepts."""


class RemoteEmbedder(ModelEmbedder):
    """Embeds by a server, and cuts texts that are too long for its model.

    :param config: server, model and limits
    :param dialect: the server's protocol
    :param retry: when to give a batch up
    :param token_limit: the longest text that the server takes, if an earlier run has found it
    """

    def __init__(
        self, config: EmbeddingConfig, dialect: Dialect, retry: RetryPolicy, token_limit: int | None = None
    ) -> None:
        super().__init__(config)
        self._server = EmbeddingServer(config, dialect, retry)
        self._length = LengthLimit(token_limit)
        self._searching = asyncio.Lock()

    @property
    def token_limit(self) -> int | None:
        """The longest text that the server takes, in estimated tokens; ``None`` while none was too long."""
        return self._length.tokens

    @property
    def slots(self) -> int:
        """How many requests are sent at once; fewer than configured while the server is overloaded."""
        return self._server.slots

    async def check(self) -> None:
        """Embed one word; see :meth:`code_patterns.embeddings.base.Embedder.check`."""
        await self._server.check()

    async def aclose(self) -> None:
        """Close connections."""
        await self._server.aclose()

    async def _embed(self, texts: Sequence[str], prefix: str) -> Embedded:
        taken = [self._length.cut(text) for text in prepare(texts, self.config.max_characters)]
        try:
            vectors = await self._ask(taken, prefix)
        except RejectedInputError as rejection:
            taken, vectors = await self._shortened(taken, prefix, rejection)
        return Embedded(vectors, [len(kept) < len(text) for kept, text in zip(taken, texts, strict=True)])

    async def _ask(self, texts: list[str], prefix: str, attempts: int | None = None) -> Vectors:
        vectors = await self._server.embed([prefix + text for text in texts], attempts)
        self._length.accepted(texts)
        return vectors

    async def _shortened(
        self, texts: list[str], prefix: str, rejection: RejectedInputError
    ) -> tuple[list[str], Vectors]:
        """Embed refused texts after cutting them, if the server refuses them for the length of the longest.

        Servers have no common way to say that a text is too long. So it is tried: if the beginning of a text is
        accepted, the text is too long. Most texts cost one request: their beginning. The search for the limit costs at
        most ``5 + SEARCH_STEPS`` requests. If the server fails instead of refusing, it costs twice as many, and after
        each a word that shows whether the server works.

        :param rejection: how the texts were refused
        :return: the texts as they were embedded, and their vectors
        :raises RejectedInputError: the length is not the cause, or not the only one
        """

        async def is_taken(text: str) -> bool:
            try:
                await self._ask([text], prefix, SEARCH_ATTEMPTS)
            except RejectedInputError:
                return False
            return True

        longest = max(texts, key=len)
        if len(texts) > 1 and (not self._length.surprises(longest) or await is_taken(longest)):
            raise rejection
        beginning = first_tokens(longest, HARMLESS_LENGTH)
        if beginning == longest or not await is_taken(beginning):
            raise rejection
        for _ in range(2):
            async with self._searching:
                # Another batch may have found a limit meanwhile, and this text may be longer.
                cut = self._length.cut(longest)
                if cut == longest:
                    cut = await self._length.find(longest, is_taken)
            texts = [cut if text == longest else self._length.cut(text) for text in texts]
            longest = cut
            try:
                return texts, await self._ask(texts, prefix)
            except RejectedInputError as error:
                rejection = error
                if len(texts) > 1:
                    break
        raise rejection
