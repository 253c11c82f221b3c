"""An embedder behind a server: retries, limits, and the decision who is at fault."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tenacity import RetryCallState, retry_if_exception_type

from code_patterns.embeddings.base import EmbeddingConfig, RejectedInputError, Vectors
from code_patterns.embeddings.faults import RefusedRequestError, TemporaryError, Trouble, UnusableVectorsError
from code_patterns.embeddings.http import Dialect, EmbeddingClient
from code_patterns.embeddings.limit import AdaptiveLimit
from code_patterns.embeddings.texts import prepare
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers.retry import RetryPolicy

log = logging.getLogger(__name__)

HARMLESS_WORD = "function"


class RemoteEmbedder:
    """Embeds by asking a server.

    :param config: server, model and limits
    :param dialect: the server's protocol
    :param retry: how patient one batch is
    """

    def __init__(self, config: EmbeddingConfig, dialect: Dialect, retry: RetryPolicy) -> None:
        self.config = config
        self._retry = retry
        self._limit = AdaptiveLimit(config.concurrency)
        self._client = EmbeddingClient(config, dialect)

    async def check(self) -> None:
        """Embed one word, once; see :meth:`code_patterns.embeddings.base.Embedder.check`."""
        try:
            await self._client.ask([HARMLESS_WORD])
        except TemporaryError as error:
            if error.kind in (Trouble.BUSY, Trouble.FAILING):
                raise OutageError(
                    self._client.explain(error, "Try again later, or look at the server's log.")
                ) from None
            raise ConfigurationError(
                self._client.explain(error, "Start it, or correct the connection's host, port, schema and extra 'api'.")
            ) from None
        except (RefusedRequestError, UnusableVectorsError) as error:
            raise ConfigurationError(self._client.explain(error, "Does the model embed texts?")) from None

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to be stored; see :meth:`code_patterns.embeddings.base.Embedder.embed_documents`."""
        if not texts:
            return np.empty((0, self.config.dimension), dtype=np.float32)
        return await self._embed(prepare(texts, self.config.document_prefix, self.config.max_characters))

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed one search text, shape (dimension,)."""
        vectors = await self._embed(prepare([text], self.config.query_prefix, self.config.max_characters))
        vector: NDArray[np.float32] = vectors[0]
        return vector

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def _embed(self, texts: list[str]) -> Vectors:
        retrying = self._retry.retrying(retry_if_exception_type(TemporaryError), self._announce_retry)
        doubt: Exception
        try:
            async for attempt in retrying:
                with attempt:
                    return await self._ask(texts, first=attempt.retry_state.attempt_number == 1)
            raise AssertionError("unreachable: tenacity either returns or raises")
        except TemporaryError as error:
            if not error.input_possible:
                raise OutageError(
                    self._client.explain(error, "Look at the server, or raise the connection's extra 'timeout'.")
                ) from None
            doubt = error
        except (RefusedRequestError, UnusableVectorsError) as error:
            doubt = error
        await self._probe(doubt)
        raise self._rejected(doubt, texts)

    async def _ask(self, texts: list[str], *, first: bool) -> Vectors:
        """Ask once, and hand several texts back at once when only they make the server stumble.

        The caller asks for each half again, which is a better second attempt than the whole: waiting out every attempt
        at every level took three quarters of a minute to find one bad text in a hundred. A single text, which nobody
        can split, is retried to the end before it is blamed.

        :param first: whether this is the batch's first attempt; in an outage one probe per batch is enough
        """
        try:
            return await self._take_turn(texts)
        except TemporaryError as error:
            if not (first and len(texts) > 1 and error.input_possible and not error.overload):
                raise
            try:
                await self._take_turn([HARMLESS_WORD])
            except (TemporaryError, RefusedRequestError, UnusableVectorsError):
                raise error from None
            raise self._rejected(error, texts) from None

    def _rejected(self, doubt: Exception, texts: list[str]) -> RejectedInputError:
        return RejectedInputError(
            self._client.explain(doubt, f"It still embeds other texts; it refuses these {len(texts)}.")
        )

    async def _probe(self, doubt: Exception) -> None:
        """Ask once for a harmless word: only a server that embeds it may blame the input.

        :param doubt: how the real request failed
        """
        try:
            await self._take_turn([HARMLESS_WORD])
        except RefusedRequestError as error:
            raise ConfigurationError(
                self._client.explain(
                    error, "It refuses a single word too. Check the connection's extras 'model' and 'api'."
                )
            ) from None
        except (TemporaryError, UnusableVectorsError) as error:
            raise OutageError(
                self._client.explain(doubt, f"A single word fails too: {error}. Look at its log.")
            ) from None

    async def _take_turn(self, texts: list[str]) -> Vectors:
        """Ask once when there is room, and learn from the outcome how much room there is."""
        async with self._limit.slot() as slot:
            try:
                vectors = await self._client.ask(texts)
            except TemporaryError as error:
                if error.overload:
                    self._limit.overloaded(slot)
                raise
            self._limit.succeeded()
            return vectors

    def _announce_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        remedy = (
            f"Attempt {state.attempt_number + 1} of {self._retry.attempts} in {state.upcoming_sleep:.1f} s, "
            f"{self._limit.limit} at once."
        )
        log.warning("%s", self._client.explain(error or "", remedy))
