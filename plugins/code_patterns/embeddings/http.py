"""One request to an embedding server, and what its answer means."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx
import orjson

from code_patterns.embeddings.base import EmbeddingConfig, Vectors
from code_patterns.embeddings.faults import RefusedRequestError, TemporaryError, Trouble
from code_patterns.embeddings.vectors import checked_vectors
from code_patterns.errors import ConfigurationError
from code_patterns.servers.retry import retry_after_seconds
from code_patterns.servers.tls import tls_context, tls_failure

CONNECT_TIMEOUT_SECONDS = 10.0
MESSAGE_CHARACTERS = 300


class Dialect(Protocol):
    """What differs between the servers."""

    def url(self, base_url: str) -> str:
        """Return the address to post to."""

    def request(self, model: str, texts: Sequence[str]) -> dict[str, Any]:
        """Return the request's body."""

    def vectors(self, answer: Mapping[str, Any]) -> Sequence[Any]:
        """Return the vectors of an answer, in the order of the texts."""

    def missing_model(self, model: str) -> str:
        """Return what to do when the server does not know the model."""


def _root_reason(error: BaseException) -> str:
    """Return the operating system's words, which httpx wraps in "All connection attempts failed"."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or "no answer to the attempt to connect"


class EmbeddingClient:
    """Speaks to one server; every request either gives checked vectors or raises.

    A proxy named by the environment (``HTTPS_PROXY``, ``NO_PROXY``) is used, as everywhere in httpx.

    :param config: server, model and limits
    :param dialect: the server's protocol
    """

    def __init__(self, config: EmbeddingConfig, dialect: Dialect) -> None:
        self._config = config
        self._dialect = dialect
        self._url = dialect.url(config.base_url)
        # Vectors hardly compress; unpacking them costs more than a local network saves.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if config.api_key:
            headers["Authorization"] = f"Bearer {config.api_key}"
        connect = min(CONNECT_TIMEOUT_SECONDS, config.timeout)
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(config.timeout, connect=connect, pool=None),
            limits=httpx.Limits(max_connections=config.concurrency),
            verify=tls_context(config.base_url, conn_id=config.conn_id, ca_file=config.ca_file, verify=config.verify),
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def ask(self, texts: list[str]) -> Vectors:
        """Embed texts by one request.

        :raises TemporaryError: asking again may help
        :raises RefusedRequestError: the server will not take this request
        :raises UnusableVectorsError: a vector is not finite, or has no length
        :raises ConfigurationError: wrong key, model, path or dimension
        """
        body = orjson.dumps(self._dialect.request(self._config.model, texts))
        try:
            # httpx's own timeout begins anew with every piece of an answer.
            async with asyncio.timeout(self._config.timeout):
                response = await self._client.post(self._url, content=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            if failure := tls_failure(error, "set its schema to 'http'"):
                raise ConfigurationError(self.explain(*failure)) from None
            raise TemporaryError(Trouble.UNREACHABLE, f"it cannot be reached: {_root_reason(error)}") from None
        except (TimeoutError, httpx.TimeoutException):
            reason = f"it did not answer within {self._config.timeout:g} s (extra 'timeout')"
            raise TemporaryError(Trouble.BUSY, reason, overload=True) from None
        except httpx.HTTPError as error:
            reason = f"the connection broke in the middle of a request ({type(error).__name__})"
            raise TemporaryError(Trouble.FAILING, reason) from None
        self._check_status(response)
        answer = self._decode(response)
        try:
            rows = self._dialect.vectors(answer)
            return checked_vectors(rows, len(texts), self._config)
        except (AttributeError, KeyError, TypeError, ValueError):
            reason = f"its answer holds no vectors: {self._message(response)}"
            raise TemporaryError(Trouble.UNREADABLE, reason) from None

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        answered = f"it answered {status}: {self._message(response)}"
        if status in (400, 413, 422):
            raise RefusedRequestError(answered)
        if status in (408, 425, 429) or status >= 500:
            raise TemporaryError(
                Trouble.FAILING if status >= 500 else Trouble.BUSY,
                answered,
                retry_after=retry_after_seconds(response.headers.get("Retry-After")),
                overload=status in (429, 503),
            )
        remedy = "Does the connection name an embedding server of this 'api', with its path?"
        if status in (401, 403):
            remedy = "Put a valid API key into the connection's password."
        elif status == 404 and "model" in answered.lower():
            remedy = f"{self._dialect.missing_model(self._config.model)}."
        raise ConfigurationError(self.explain(answered, remedy))

    def _decode(self, response: httpx.Response) -> Mapping[str, Any]:
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            try:
                # Python servers write NaN, which JSON does not have; it is judged with the other vectors.
                answer = json.loads(response.content)
            except ValueError:
                answer = None
        if not isinstance(answer, dict) or answer.get("error"):
            raise TemporaryError(
                Trouble.UNREADABLE,
                f"it answered {response.status_code}, but not with vectors: {self._message(response)}",
            )
        return answer

    def _message(self, response: httpx.Response) -> str:
        """Return the server's own words, short and without the API key."""
        text = response.text
        try:
            answer = json.loads(text)
            said = answer.get("error") or answer.get("message") or answer.get("detail")
            text = str(said.get("message", said) if isinstance(said, dict) else said or "no message")
        except (AttributeError, ValueError):
            if "<html" in text[:1000].lower():
                text = "an HTML page"
        if self._config.api_key:
            text = text.replace(self._config.api_key, "***")
        # A lone surrogate, which a server that quotes its input sends back, would break the log.
        text = " ".join(text.encode("utf-8", "replace").decode().split()) or "no message"
        return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}…"

    def explain(self, reason: BaseException | str, remedy: str) -> str:
        """Return a message that names connection, server and model.

        :param reason: what happened, as the end of a sentence
        :param remedy: what to do about it, as sentences
        """
        reason = str(reason).removesuffix(".")
        return f"The embedding server of {self._config.address}, model '{self._config.model}': {reason}. {remedy}"
