"""How to reach Qdrant, and how its errors read."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import httpx
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.servers.retry import retry_after_seconds
from code_patterns.servers.tls import tls_context, tls_failure

log = logging.getLogger(__name__)

REQUEST_ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
"""Longest wait before the second attempt; doubles with each one, up to 8 seconds."""
LONGEST_ASKED_WAIT_SECONDS = 30.0
"""No wait is longer, whatever ``Retry-After`` says."""
EMBEDDED_WAIT_SECONDS = 600.0
"""How long a run waits for another process that has the embedded storage open."""

HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}
"""The HTTP status of the same meaning; what is missing here is the server's failure."""

Result = TypeVar("Result")


class BusyError(OutageError):
    """Qdrant refuses for now because it is asked too much.

    :param message: for people
    :param retry_after: seconds it asked to wait, or ``None``
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnreachableError(OutageError):
    """No connection came about at all, as with a wrong host or port."""


class RefusedRequestError(ConfigurationError):
    """Qdrant works but will not do this very request."""


class CollectionLostError(OutageError):
    """What a run reads or writes was taken away, or replaced, by something else; the next try looks again."""


@dataclass(frozen=True)
class QdrantConfig:
    """Where the points are.

    :param conn_id: name of the Airflow connection, used in messages
    :param url: the server's address such as ``http://localhost:6333``, with the path prefix of its REST interface;
        without a port it is the scheme's own; empty when ``path`` is given
    :param api_key: API key, or ``None``
    :param path: directory of an embedded storage, which one process at a time may open; empty for a server
    :param prefer_grpc: use gRPC where the client can
    :param grpc_port: its port
    :param timeout: seconds to wait for one answer
    :param ca_file: PEM file of the authorities to trust instead of the machine's own; empty for those
    :param verify: whether to check the server's certificate
    """

    conn_id: str
    url: str = ""
    api_key: str | None = field(default=None, repr=False)
    path: str = ""
    prefer_grpc: bool = False
    grpc_port: int = 6334
    timeout: int = 30
    ca_file: str = ""
    verify: bool = True

    def __post_init__(self) -> None:
        """Refuse a connection that names no place: the client would silently fall back to localhost."""
        if bool(self.url) == bool(self.path):
            raise ConfigurationError(
                f"Connection '{self.conn_id}' must name either a server (host and port, or extra 'url') or an "
                f"embedded storage (extra 'path'); it names {'both' if self.url else 'neither'}."
            )

    @property
    def address(self) -> str:
        """The storage in words, for messages."""
        return f"connection '{self.conn_id}' ({self.url or self.path})"


def client_arguments(config: QdrantConfig) -> dict[str, Any]:
    """Return what opens a client, blocking or not, on exactly the address that the configuration names.

    The parts are given one by one: what the client does not find in a URL it fills in by itself.

    :param config: a server, not an embedded storage
    """
    url = urlsplit(config.url)
    https = url.scheme == "https"
    host = url.hostname or ""
    context = tls_context(config.url, conn_id=config.conn_id, ca_file=config.ca_file, verify=config.verify)
    authorities = Path(config.ca_file).read_bytes() if https and config.ca_file else None
    return {
        "host": f"[{host}]" if ":" in host else host,
        "port": url.port or (443 if https else 80),
        "https": https,
        "prefix": url.path.rstrip("/") or None,
        "api_key": config.api_key,
        "prefer_grpc": config.prefer_grpc,
        "grpc_port": config.grpc_port,
        "timeout": config.timeout,
        "check_compatibility": False,
        "grpc_options": {"root_certificates": authorities} if authorities else None,
        "verify": context,
    }


async def open_client(config: QdrantConfig, *, wait_seconds: float = EMBEDDED_WAIT_SECONDS) -> AsyncQdrantClient:
    """Open a client; for an embedded storage, wait while another process holds it.

    :param config: where the points are
    :param wait_seconds: how long to wait for the embedded storage
    :raises OutageError: the embedded storage stayed in use for longer than that
    """
    if not config.path:
        return AsyncQdrantClient(**client_arguments(config))
    deadline = time.monotonic() + wait_seconds
    announced = False
    while True:
        try:
            return AsyncQdrantClient(path=config.path)
        except RuntimeError as error:
            if "already accessed" not in str(error):
                raise
        except OSError as error:
            raise ConfigurationError(
                f"The embedded Qdrant storage of {config.address} cannot be opened: {error}. "
                "Check the extra 'path' and its permissions."
            ) from None
        if time.monotonic() >= deadline:
            raise OutageError(
                f"The embedded Qdrant storage of {config.address} was in use by another process for "
                f"{wait_seconds:.0f} seconds. Stop that process, or use a Qdrant server, which serves many."
            )
        if not announced:
            log.info("Waiting: another process has the embedded Qdrant storage %s open.", config.path)
            announced = True
        await asyncio.sleep(0.2)


def explain(config: QdrantConfig, doing: str, error: Exception) -> PatternsError:
    """Turn an error of the client into one that names the connection and the remedy.

    :param config: where the request went
    :param doing: what was tried, as in "reading the collections"
    :param error: what the client raised
    """
    if isinstance(error, PatternsError):
        return error
    where = f"Qdrant at {config.address}, {doing}"
    if isinstance(error, UnexpectedResponse):
        answer = _redacted(config, error.content.decode("utf-8", "replace"))
        asked = retry_after_seconds(error.headers.get("Retry-After"))
        return _answered(where, error.status_code or 0, answer, asked)
    if isinstance(error, grpc.RpcError):
        return _called(config, where, error)
    if isinstance(error, QdrantException):
        # What the client makes of a 429 with Retry-After; a date there, which it cannot read, gives the base class.
        seconds = float(error.retry_after_s) if isinstance(error, ResourceExhaustedResponse) else None
        return BusyError(f"{where}: the server answered 429: {error} Give Qdrant fewer writers.", seconds)
    if isinstance(error, ResponseHandlingException):
        return _broken(config, where, error.source)
    return ConfigurationError(f"{where}: {error}")


def _redacted(config: QdrantConfig, said: str) -> str:
    """Take the API key out of a server's words; a proxy may send back the headers it was sent."""
    return said.replace(config.api_key, "***") if config.api_key else said


def _answered(where: str, status: int, answer: str, retry_after: float | None = None) -> PatternsError:
    """Say what an HTTP status means here, and what to do about it."""
    said = f"{where}: the server answered {status}: {answer[:500]}"
    if status in (401, 403):
        return ConfigurationError(
            f"{where}: the server refused with status {status}: {answer[:500]} Give the connection's password (its API "
            "key) the right to read and write this collection."
        )
    if status == 429 or status >= 500:
        remedy = "Give Qdrant fewer writers, or raise its limits." if status == 429 else "Look at its log and disk."
        return BusyError(f"{said} {remedy}", retry_after)
    if status in (408, 425):
        return OutageError(said)
    if status == 404:
        return CollectionLostError(
            f"{said} It was there a moment ago: something else deletes or renames in Qdrant. The next try looks again "
            "and repairs what is missing."
        )
    return RefusedRequestError(said) if status in (400, 413, 422) else ConfigurationError(said)


def _called(config: QdrantConfig, where: str, error: grpc.RpcError) -> PatternsError:
    """Say what a gRPC status means, mostly by the HTTP status that Qdrant's REST interface gives for the same."""
    code, details = error.code(), _redacted(config, error.details() or "")
    if code is grpc.StatusCode.UNAVAILABLE:
        remedy = f"Check host and gRPC port ({config.grpc_port}) of '{config.conn_id}'."
        return UnreachableError(f"{where}: cannot connect ({details}). {remedy}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return OutageError(f"{where}: no answer within {config.timeout} s.")
    return _answered(where, HTTP_STATUS.get(code, 500), details)


def _broken(config: QdrantConfig, where: str, source: Exception) -> PatternsError:
    """Say what happened to a request that got no status, or an answer that is none."""
    if isinstance(source, httpx.ConnectError) and (failure := tls_failure(source, "set the extra 'https' to false")):
        return ConfigurationError(f"{where}: {'. '.join(failure)}")
    if isinstance(source, httpx.ConnectError | httpx.ConnectTimeout):
        return UnreachableError(
            f"{where}: cannot connect ({source or type(source).__name__}). Check host and port of '{config.conn_id}'."
        )
    if isinstance(source, httpx.TimeoutException):
        return OutageError(f"{where}: no answer within {config.timeout} s ({type(source).__name__}).")
    if isinstance(source, httpx.TransportError):
        return OutageError(f"{where}: the connection broke in the middle of a request ({type(source).__name__}).")
    return ConfigurationError(
        f"{where}: the answer is not one of Qdrant's ({type(source).__name__}). Does '{config.conn_id}' name the "
        "REST port of a Qdrant server (6333 by default)?"
    )


class Qdrant:
    """An open client whose requests are repeated while trouble may pass, and whose errors name the connection.

    :param config: where the points are
    :param client: an open client
    """

    def __init__(self, config: QdrantConfig, client: AsyncQdrantClient) -> None:
        self.config = config
        self.client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, config: QdrantConfig) -> AsyncIterator["Qdrant"]:
        """Open a client; see :func:`open_client`."""
        client = await open_client(config)
        try:
            yield cls(config, client)
        finally:
            await client.close()

    async def call(
        self, doing: str, request: Callable[[], Awaitable[Result]], *, attempts: int = REQUEST_ATTEMPTS
    ) -> Result:
        """Send a request that may be repeated safely, again while trouble may pass.

        :param doing: what is tried, as in "reading the collections"
        :param request: sends it
        :param attempts: how often at most
        :raises PatternsError: as :func:`explain` puts it
        """
        retrying = AsyncRetrying(
            stop=stop_after_attempt(attempts),
            wait=_wait,
            retry=retry_if_exception_type(OutageError) & retry_if_not_exception_type(CollectionLostError),
            reraise=True,
        )

        async def explained() -> Result:
            try:
                return await request()
            except Exception as error:
                raise explain(self.config, doing, error) from None

        return await retrying(explained)

    async def put_points(self, collection: str, body: bytes) -> models.UpdateResult:
        """Write whole points that are encoded already, and wait until they are stored.

        The client's models take several times as long to encode vectors, and write each number twice as long.

        :param collection: the real collection
        :param body: JSON of a ``PointsList``, see https://api.qdrant.tech/api-reference/points/upsert-points
        """
        if self.config.path or self.config.prefer_grpc:
            points = models.PointsList.model_validate_json(body).points
            return await self.client.upsert(collection, points=points, wait=True)
        # The generated client sends what is no model of its own as it is.
        answer = await self.client.http.points_api.upsert_points(
            collection,
            wait=True,
            point_insert_operations=body,  # type: ignore[arg-type]
        )
        if answer.result is None:
            raise ResponseHandlingException(ValueError("an answer without a result"))
        return answer.result


def _wait(state: RetryCallState) -> float:
    """Random and growing, at least what the server asked for; a tenacity ``wait``."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, BusyError) else None
    backoff = wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=8)(state)
    return max(backoff, min(asked or 0.0, LONGEST_ASKED_WAIT_SECONDS))
