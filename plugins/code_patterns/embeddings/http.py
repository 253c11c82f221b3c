"""Send one request to an embedding server and judge its answer."""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import orjson

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig, Vectors
from code_patterns.embeddings.faults import MisconfiguredError, RefusedRequestError, TemporaryError, Trouble
from code_patterns.embeddings.proxy import Proxy, proxy_for
from code_patterns.embeddings.transport import Transport, undelivered
from code_patterns.embeddings.vectors import checked_vectors
from code_patterns.errors import ConfigurationError, without_frames
from code_patterns.servers.retry import retry_after_seconds

CONNECT_TIMEOUT_SECONDS = 10.0
MESSAGE_CHARACTERS = 300
AZURE_PARAMETER = "api-version"
"""Azure's services have this in their query, and take the key in their own header."""
_BUSY = (408, 425, 429, 503, 504)
SHORTEST_SECRET = 6
"""Shorter values of a query, such as ``v=2``, are no secrets; removing them would garble messages."""


class Dialect(Protocol):
    """What differs between the protocols."""

    def endpoint(self, base_url: str) -> httpx.URL:
        """Return the URL to post to."""

    def request(self, config: EmbeddingConfig, texts: Sequence[str]) -> dict[str, Any]:
        """Return the request's body."""

    def vectors(self, answer: Mapping[str, Any]) -> Sequence[Any]:
        """Return the vectors of an answer, in the order of the texts."""

    def missing_model(self, model: str) -> str:
        """Return what to do when the server does not know the model."""


class EmbeddingClient:
    """The client of one server: every request returns checked vectors or raises.

    :param config: server, model and limits
    :param dialect: the server's protocol
    :raises ConfigurationError: the proxy cannot be used
    """

    def __init__(self, config: EmbeddingConfig, dialect: Dialect) -> None:
        self._config = config
        self._dialect = dialect
        endpoint = dialect.endpoint(config.base_url)
        self._url = endpoint.copy_with(query=None)
        self._proxy = proxy_for(config.conn_id, endpoint, config.proxy)
        self._secrets = _secrets(config, endpoint, self._proxy)
        # Vectors hardly compress; decompressing them costs more than a local network saves.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if config.api_key:
            headers["Authorization"] = f"Bearer {config.api_key}"
            if AZURE_PARAMETER in endpoint.params:
                headers["api-key"] = config.api_key
        connect = min(CONNECT_TIMEOUT_SECONDS, config.timeout)
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(config.timeout, connect=connect, pool=None),
            transport=Transport(config, self._proxy, endpoint.query),
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    @property
    def way_remedy(self) -> str:
        """What to do if the server cannot be reached, as a sentence."""
        if self._proxy:
            return "Start or correct the proxy, or set the connection's extra 'proxy' to 'none' to use no proxy."
        return "Start it, or correct the connection's host and port."

    async def ask(self, texts: list[str]) -> Vectors:
        """Embed texts by one request.

        :raises TemporaryError: asking again may help
        :raises RefusedRequestError: the server will not take this request
        :raises UnusableVectorsError: a vector is not finite, or is all zeros
        :raises ConfigurationError: wrong key, model, path or dimension
        """
        response = await self._post(orjson.dumps(self._dialect.request(self._config, texts)))
        self._check_status(response)
        answer = self._decode(response)
        try:
            rows = self._dialect.vectors(answer)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            rows = None
        if not isinstance(rows, list):
            raise TemporaryError(
                Trouble.UNREADABLE, f"its answer holds no vectors in the order of the texts: {self._message(response)}"
            )
        return checked_vectors(rows, len(texts), self._config)

    async def _post(self, body: bytes) -> httpx.Response:
        failure: Exception
        try:
            # httpx's own timeout starts again with every piece of an answer.
            async with asyncio.timeout(self._config.timeout):
                return await self._client.post(self._url, content=body)
        # httpx passes on what OpenSSL raises while it reads an answer.
        except (TimeoutError, httpx.HTTPError, ssl.SSLError) as error:
            failure = undelivered(without_frames(error), self._config, self._proxy)
        # Raised outside the handler, so that the error does not carry the request as its context.
        try:
            if isinstance(failure, MisconfiguredError):
                raise ConfigurationError(failure.code, self.explain(failure, failure.remedy))
            raise failure
        finally:
            # The error's traceback holds this frame.
            del failure

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        answered = f"it answered {status}: {self._message(response)}"
        if status in (400, 413, 422):
            raise RefusedRequestError(answered)
        # With 424 Text Embeddings Inference says that its model has failed.
        if status in (*_BUSY, 424) or status >= 500:
            raise TemporaryError(
                Trouble.BUSY if status in _BUSY else Trouble.FAILING,
                answered,
                retry_after=retry_after_seconds(response.headers.get("Retry-After")),
                overload=status in (429, 503),
            )
        remedy = (
            f"Does the connection name an embedding server of this 'api', with its path? It was asked at "
            f"{self._url.path}."
        )
        if status == 407:
            remedy = "The proxy wants a user and a password: set its URL to http://user:password@host:port."
        elif status in (401, 403):
            remedy = "Put a valid API key into the connection's password."
            if self._proxy and self._url.scheme == "http":
                remedy += (
                    " If it was the proxy that refused: let it allow this server, or set the connection's extra "
                    "'proxy' to another one or to 'none'."
                )
        elif status == 404 and "model" in answered.lower():
            remedy = f"{self._dialect.missing_model(self._config.model)}."
        raise ConfigurationError(Code.EMBEDDINGS_REFUSED, self.explain(answered, remedy))

    def _decode(self, response: httpx.Response) -> Mapping[str, Any]:
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            try:
                # Python servers write NaN, which JSON does not have. The check of the vectors finds it.
                answer = json.loads(response.content)
            except (ValueError, RecursionError):
                answer = None
        if not isinstance(answer, dict) or answer.get("error"):
            raise TemporaryError(
                Trouble.UNREADABLE,
                f"it answered {response.status_code}, but not with vectors: {self._message(response)}",
            )
        return answer

    def _message(self, response: httpx.Response) -> str:
        """Return the server's message, short and without secrets."""
        text = response.text
        try:
            answer = json.loads(text)
            said = answer.get("error") or answer.get("message") or answer.get("detail")
            text = str(said.get("message", said) if isinstance(said, dict) else said or "no message")
        except (AttributeError, ValueError, RecursionError):
            if "<html" in text[:1000].lower():
                text = "an HTML page"
        for secret in self._secrets:
            text = text.replace(secret, "***")
        # A server that quotes its input may send a lone surrogate, which would break the log.
        text = " ".join(text.encode("utf-8", "replace").decode().split()) or "no message"
        return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}…"

    def explain(self, reason: BaseException | str, remedy: str) -> str:
        """Return a message that names connection, server and model.

        :param reason: what happened, as the end of a sentence
        :param remedy: what to do, as sentences
        """
        reason = str(reason).removesuffix(".")
        way = f" through the {self._proxy.address}" if self._proxy else ""
        return f"The embedding server of {self._config.address}{way}, model '{self._config.model}': {reason}. {remedy}"


def _secrets(config: EmbeddingConfig, endpoint: httpx.URL, proxy: Proxy | None) -> list[str]:
    """Return the secrets that a server might repeat, the longest first."""
    found = {config.api_key or "", *(proxy.secrets if proxy else ())}
    for name, value in endpoint.params.multi_items():
        if name != AZURE_PARAMETER and len(value) >= SHORTEST_SECRET:
            found |= {value, quote(value), quote(value, safe="")}
    return sorted(found - {""}, key=len, reverse=True)
