"""What an error of Qdrant means and what to do, over HTTP or gRPC."""

import json
from contextlib import suppress

import grpc
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.retry import retry_after_seconds
from code_patterns.servers.tls import client_refused, tls_failure

HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 500,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}
"""The HTTP status of the same meaning; any other code is a failure of the server.

FAILED_PRECONDITION is what a node of a cluster answers whose shard is not ready for a request. Over HTTP that is a 500.
"""


class BusyError(OutageError):
    """Qdrant refuses because it gets too many requests.

    :param message: for people
    :param retry_after: seconds that it asked to wait, or ``None``
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(Code.QDRANT_BUSY, message)
        self.retry_after = retry_after


class UnreachableError(OutageError):
    """No connection could be made, for example because of a wrong host or port."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.QDRANT_AWAY, message)


class RefusedRequestError(ConfigurationError):
    """Qdrant works but refuses this request."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.QDRANT_REFUSED, message)


class CollectionLostError(OutageError):
    """Something else deleted or replaced what a run reads or writes; the next try looks again."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.COLLECTION_LOST, message)


def explain(config: QdrantConfig, doing: str, error: Exception) -> PatternsError:
    """Make an error of the client's error, which names the connection and the remedy.

    :param config: the server
    :param doing: what the request does, such as "reading the collections"
    :param error: the client's error
    """
    if isinstance(error, PatternsError):
        return error
    where = f"Qdrant at {config.address}, {doing}"
    if isinstance(error, UnexpectedResponse):
        answer = _redacted(config, error.content.decode("utf-8", "replace"))
        asked = retry_after_seconds(error.headers.get("Retry-After"))
        if error.status_code == 404 and not _is_qdrants(error.content):
            return CollectionLostError(
                f"{where}: a server answered 404, and not as Qdrant does. Check host, port and path of "
                f"'{config.conn_id}'. A gateway may answer so while Qdrant is away."
            )
        return _answered(where, error.status_code or 0, answer, asked)
    if isinstance(error, grpc.RpcError):
        return _called(config, where, error)
    if isinstance(error, QdrantException):
        # The client raises this for a 429 with Retry-After. If that is a date, it raises the base class.
        seconds = float(error.retry_after_s) if isinstance(error, ResourceExhaustedResponse) else None
        return BusyError(f"{where}: the server answered 429: {error} Give Qdrant fewer writers.", seconds)
    if isinstance(error, ResponseHandlingException):
        return _broken(config, where, error.source)
    return ConfigurationError(Code.QDRANT_REFUSED, f"{where}: {error}")


def failed_inside(error: Exception) -> bool:
    """Whether Qdrant took a request and could not do it, as a cluster answers that lacks replicas or a leader.

    :param error: the client's error
    """
    if isinstance(error, UnexpectedResponse):
        return error.status_code == 500
    return isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.INTERNAL


def already_exists(error: Exception) -> bool:
    """Whether what a request was to make is there already.

    :param error: the client's error
    """
    if isinstance(error, UnexpectedResponse):
        return error.status_code == 409
    return isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.ALREADY_EXISTS


def _is_qdrants(content: bytes) -> bool:
    """Whether an error's content has the form of Qdrant's."""
    with suppress(ValueError):
        answer = json.loads(content)
        return isinstance(answer, dict) and "status" in answer
    return False


def _redacted(config: QdrantConfig, said: str) -> str:
    """Remove the API key from a server's message: a proxy may send back the headers."""
    return said.replace(config.api_key, "***") if config.api_key else said


def _answered(where: str, status: int, answer: str, retry_after: float | None = None) -> PatternsError:
    """Say what an HTTP status means and what to do."""
    said = f"{where}: the server answered {status}: {answer[:500]}"
    if status in (401, 403):
        return ConfigurationError(
            Code.QDRANT_KEY_REFUSED,
            f"{where}: the server refused with status {status}: {answer[:500]} Give the connection's password (its API "
            "key) the right to do this: a run of the sync needs a key for the whole server, in a JWT the access 'm'; "
            "searches and scores need to read the collection.",
        )
    if status == 429 or status >= 500:
        remedy = "Give Qdrant fewer writers, or raise its limits." if status == 429 else "Look at its log and disk."
        return BusyError(f"{said} {remedy}", retry_after)
    if status in (408, 425):
        return OutageError(Code.QDRANT_AWAY, said)
    if status == 404:
        return CollectionLostError(
            f"{said} It was there a moment ago: something else deletes or renames in Qdrant. The next try looks again "
            "and repairs what is missing."
        )
    return RefusedRequestError(said) if status in (400, 413, 422) else ConfigurationError(Code.QDRANT_REFUSED, said)


def _called(config: QdrantConfig, where: str, error: grpc.RpcError) -> PatternsError:
    """Say what a gRPC status means, mostly by the HTTP status of the same meaning."""
    code, details = error.code(), _redacted(config, error.details() or "")
    if code is grpc.StatusCode.UNAVAILABLE:
        remedy = f"Check host and gRPC port ({config.grpc_port}) of '{config.conn_id}'."
        return UnreachableError(f"{where}: cannot connect ({details}). {remedy}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return OutageError(Code.QDRANT_AWAY, f"{where}: no answer within {config.timeout} s.")
    return _answered(where, HTTP_STATUS.get(code, 500), details)


def _broken(config: QdrantConfig, where: str, source: Exception) -> PatternsError:
    """Say what happened to a request without a status, or with an answer that is not Qdrant's."""
    if isinstance(source, httpx.ConnectError) and (failure := tls_failure(source, "set the extra 'https' to false")):
        return ConfigurationError(Code.CERTIFICATE_REFUSED, f"{where}: {'. '.join(failure)}")
    if isinstance(source, httpx.ConnectError | httpx.ConnectTimeout):
        return UnreachableError(
            f"{where}: cannot connect ({source or type(source).__name__}). Check host and port of '{config.conn_id}'."
        )
    if isinstance(source, httpx.TimeoutException):
        return OutageError(Code.QDRANT_AWAY, f"{where}: no answer within {config.timeout} s ({type(source).__name__}).")
    if refused := client_refused(source):
        return ConfigurationError(Code.CERTIFICATE_REFUSED, f"{where}: {'. '.join(refused)}")
    if isinstance(source, httpx.TransportError):
        broken = f"{where}: the connection broke in the middle of a request ({type(source).__name__})."
        if isinstance(source, httpx.RemoteProtocolError):
            # A server that breaks off and one that does not speak HTTP/1.1 look the same.
            broken += f" If it does so each time, let '{config.conn_id}' name the REST port (6333 by default)."
        return OutageError(Code.QDRANT_AWAY, broken)
    return ConfigurationError(
        Code.NOT_QDRANT,
        f"{where}: the answer is not one of Qdrant's ({type(source).__name__}). Does '{config.conn_id}' name the "
        "REST port of a Qdrant server (6333 by default)?",
    )
