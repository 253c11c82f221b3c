"""Ask an embedding server: retry temporary errors, and decide whether server or input causes the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tenacity import RetryCallState, retry_if_exception

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig, RejectedInputError, Vectors
from code_patterns.embeddings.concurrency import AdaptiveLimit
from code_patterns.embeddings.faults import DoubtError, RefusedRequestError, TemporaryError, Trouble
from code_patterns.embeddings.http import Dialect, EmbeddingClient
from code_patterns.embeddings.length import HARMLESS_WORD
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers.retry import RetryPolicy

log = logging.getLogger(__name__)


class EmbeddingServer:
    """One server and model.

    :param config: server, model and limits
    :param dialect: the server's protocol
    :param retry: when to give a batch up
    """

    def __init__(self, config: EmbeddingConfig, dialect: Dialect, retry: RetryPolicy) -> None:
        self._retry = retry
        self._turns = AdaptiveLimit(config.concurrency)
        self._client = EmbeddingClient(config, dialect)
        self._probing = asyncio.Lock()
        self._answered = 0

    @property
    def slots(self) -> int:
        """How many requests are sent at once now."""
        return self._turns.limit

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def check(self) -> None:
        """Embed one word; see :meth:`code_patterns.embeddings.base.Embedder.check`."""

        def may_pass(error: BaseException) -> bool:
            return isinstance(error, TemporaryError) and error.kind is not Trouble.UNREADABLE

        async def ask(_: int) -> Vectors:
            return await self._take_turn([HARMLESS_WORD])

        try:
            await self._patiently(ask, may_pass, self._retry.attempts)
        except TemporaryError as error:
            if error.kind is Trouble.UNREADABLE:
                remedy = "Correct the connection's host, port, schema and extra 'api'."
                raise ConfigurationError(Code.EMBEDDINGS_REFUSED, self._client.explain(error, remedy)) from None
            raise self._outage(error) from None
        except DoubtError as error:
            raise ConfigurationError(
                Code.EMBEDDINGS_REFUSED, self._client.explain(error, "Does the model embed texts?")
            ) from None

    async def embed(self, texts: list[str], attempts: int | None = None) -> Vectors:
        """Embed texts by one request; repeat it while asking again may help.

        :param texts: at least one, prefix included
        :param attempts: most requests before the input may be blamed; default: the retry policy's
        :raises RejectedInputError: the server works but refuses these texts
        :raises OutageError: every attempt failed
        :raises ConfigurationError: the server refuses key or model, or its vectors have another length
        """

        async def ask(attempt: int) -> Vectors:
            return await self._ask(texts, first=attempt == 1)

        try:
            return await self._patiently(
                ask, lambda error: isinstance(error, TemporaryError), attempts or self._retry.attempts
            )
        except DoubtError as error:
            # Its traceback would hold this frame, which holds it: a cycle with all frames below, until Python collects.
            doubt = error.with_traceback(None)
        await self._probe(doubt)
        if isinstance(doubt, TemporaryError):
            # The server may have come back between the last attempt and the probe.
            try:
                return await self._take_turn(texts)
            except DoubtError as error:
                await self._probe(error)
                doubt = error.with_traceback(None)
        raise self._rejected(doubt, texts)

    async def _patiently(
        self, ask: Callable[[int], Awaitable[Vectors]], may_pass: Callable[[BaseException], bool], attempts: int
    ) -> Vectors:
        """Ask until there is an answer, asking again does not help, or the retries are used up.

        :param ask: sends a request; gets the number of the attempt, from 1
        :param may_pass: whether to ask again after this error
        :param attempts: most requests while the input may be the cause
        """

        def is_enough(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            blamed = isinstance(error, TemporaryError) and error.input_possible
            return self._retry.stop(state) or (blamed and state.attempt_number >= attempts)

        retrying = self._retry.retrying(retry_if_exception(may_pass), self._announce_retry).copy(stop=is_enough)
        async for attempt in retrying:
            with attempt:
                return await ask(attempt.retry_state.attempt_number)
        raise AssertionError("unreachable: tenacity either returns or raises")

    async def _ask(self, texts: list[str], *, first: bool) -> Vectors:
        """Ask once; reject several texts at once if the server fails only on them.

        The caller then asks for each half, which is better than asking for the whole again: with all attempts at every
        level it took three quarters of a minute to find one bad text in a hundred. A single text cannot be split, so
        it gets all attempts before it is blamed.

        :param first: whether this is the batch's first attempt; in an outage one probe per batch is enough
        """
        try:
            return await self._take_turn(texts)
        except TemporaryError as error:
            if not (first and len(texts) > 1 and error.input_possible and not error.overload):
                raise
            try:
                await self._prove_well(error)
            except DoubtError:
                raise error from None
            raise self._rejected(error, texts) from None

    def _outage(self, error: TemporaryError) -> OutageError:
        remedy = "Look at the server's log, or raise the connection's extra 'timeout'."
        return OutageError(
            Code.EMBEDDINGS_AWAY,
            self._client.explain(error, self._client.way_remedy if error.kind is Trouble.UNREACHABLE else remedy),
        )

    def _rejected(self, doubt: DoubtError, texts: list[str]) -> RejectedInputError:
        return RejectedInputError(
            self._client.explain(doubt, f"It still embeds other texts; it refuses these {len(texts)}.")
        )

    async def _probe(self, doubt: DoubtError) -> None:
        """Check that the input may be the cause: the server does well.

        :param doubt: how the real request failed
        :raises ConfigurationError: the server refuses a harmless word too
        :raises OutageError: the server fails on a harmless word too, or failed in a way that no input causes
        """
        if isinstance(doubt, TemporaryError) and not doubt.input_possible:
            raise self._outage(doubt)
        try:
            await self._prove_well(doubt)
        except RefusedRequestError as error:
            raise ConfigurationError(
                Code.EMBEDDINGS_REFUSED,
                self._client.explain(
                    error, "It refuses a single word too. Check the connection's extras 'model' and 'api'."
                ),
            ) from None
        except DoubtError as error:
            raise OutageError(
                Code.EMBEDDINGS_FAILING,
                self._client.explain(doubt, f"A single word fails too: {error}. Look at its log."),
            ) from None

    async def _prove_well(self, doubt: DoubtError) -> None:
        """Ask for a harmless word, unless the server has answered another request since the one in doubt was sent.

        :raises DoubtError: the word failed too, so the input is not to blame
        """
        async with self._probing:
            if self._answered == doubt.answered_before:
                await self._take_turn([HARMLESS_WORD])

    async def _take_turn(self, texts: list[str]) -> Vectors:
        """Wait for a turn and ask once; adjust the limit by the outcome."""
        async with self._turns.slot() as slot:
            before = self._answered
            try:
                vectors = await self._client.ask(texts)
            except DoubtError as error:
                error.answered_before = before
                if isinstance(error, TemporaryError) and error.overload:
                    self._turns.overloaded(slot)
                raise
            self._answered += 1
            self._turns.succeeded()
            return vectors

    def _announce_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        remedy = (
            f"Attempt {state.attempt_number + 1} of {self._retry.attempts} in {state.upcoming_sleep:.1f} s, "
            f"{self._turns.limit} at once."
        )
        log.warning("%s", self._client.explain(error or "", remedy))
