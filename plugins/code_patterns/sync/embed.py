"""Get vectors: each distinct text once; a bad text does not reject its neighbours."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from code_patterns.bisection import bisect
from code_patterns.embeddings.base import Embedder, RejectedInputError, Vectors
from code_patterns.errors import PatternsError
from code_patterns.sync.pattern import Pattern

REMEMBERED_VECTORS = 10_000
"""Most vectors that a run keeps for identical texts, the latest ones: 30 MB at 768 dimensions."""

LEAST_SHARE = 8
"""A batch is cut into shares of no fewer texts than these: each request costs something by itself."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of one text.

    :param vector: shape (dimension,)
    :param truncated: whether it is made only of the text's beginning
    """

    vector: Vectors
    truncated: bool


Known = Callable[[Sequence[Pattern]], Awaitable[Mapping[str, Embedding]]]


class DistinctEmbedder:
    """Embeds patterns for one run; identical texts, also in concurrent batches, go to the server once.

    :param embedder: the server
    :param known: gives vectors by embedding hash that need not be made, where there are any
    """

    def __init__(self, embedder: Embedder, known: Known | None = None) -> None:
        self._embedder = embedder
        self._known = known
        self._vectors: OrderedDict[str, asyncio.Future[Embedding | RejectedInputError]] = OrderedDict()
        self._requests = 0
        self.embedded_texts = 0
        self.embedded_characters = 0

    async def embed(self, patterns: Sequence[Pattern]) -> list[Embedding | RejectedInputError]:
        """Return the vector of each pattern's text, or why the text was rejected.

        :raises OutageError: the server cannot be used; nothing is known about the texts
        """
        mine: dict[str, Pattern] = {}
        futures = []
        for pattern in patterns:
            future = self._vectors.get(pattern.embedding_hash)
            if future is None:
                future = asyncio.get_running_loop().create_future()
                self._vectors[pattern.embedding_hash] = future
                mine[pattern.embedding_hash] = pattern
            futures.append(future)
        try:
            known = await self._known(list(mine.values())) if self._known and mine else {}
            unknown = [pattern for key, pattern in mine.items() if key not in known]
            rejected = await self._embed_unknown(unknown)
            for key, embedding in known.items():
                self._vectors[key].set_result(embedding)
        except BaseException as error:
            for key in mine:
                # Another batch may have made room by those that are done.
                future = self._vectors.pop(key, None)
                if future and not future.done():
                    future.set_exception(error)
                    future.exception()
            raise
        for pattern, reason in rejected:
            assert isinstance(reason, RejectedInputError)  # noqa: S101 - bisect returns the errors that it was asked to catch
            self._vectors[pattern.embedding_hash].set_result(reason)
        results = [await future for future in futures]
        while len(self._vectors) > REMEMBERED_VECTORS and next(iter(self._vectors.values())).done():
            self._vectors.popitem(last=False)
        return results

    async def _embed_unknown(self, patterns: Sequence[Pattern]) -> list[tuple[Pattern, PatternsError]]:
        """Embed texts by one request, or by several while the server has nothing else to do.

        :return: what was rejected, and why
        """
        shares = max(1, min(self._embedder.slots - self._requests, len(patterns) // LEAST_SHARE))
        self._requests += shares
        try:
            return await bisect(patterns, self._embed_some, RejectedInputError, shares)
        finally:
            self._requests -= shares

    async def _embed_some(self, patterns: Sequence[Pattern]) -> None:
        embedded = await self._embedder.embed_documents([pattern.text for pattern in patterns])
        self.embedded_texts += len(patterns)
        self.embedded_characters += sum(len(pattern.text) for pattern in patterns)
        for pattern, vector, truncated in zip(patterns, embedded.vectors, embedded.truncated, strict=True):
            self._vectors[pattern.embedding_hash].set_result(Embedding(np.asarray(vector), truncated))
