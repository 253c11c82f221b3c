"""What errors of Qdrant's gRPC interface become."""

import httpx
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from qdrant_client.http.exceptions import UnexpectedResponse

from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_errors import (
    BusyError,
    CollectionLostError,
    RefusedRequestError,
    UnreachableError,
    already_exists,
    explain,
    failed_inside,
)

CONFIG = QdrantConfig("patterns_qdrant", url="http://qdrant:6333", api_key="a-secret", prefer_grpc=True)


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (StatusCode.UNAVAILABLE, UnreachableError, "Check host and gRPC port (6334) of 'patterns_qdrant'"),
        (StatusCode.DEADLINE_EXCEEDED, OutageError, "no answer within 30 s"),
        (StatusCode.UNAUTHENTICATED, ConfigurationError, "API key"),
        (StatusCode.PERMISSION_DENIED, ConfigurationError, "API key"),
        (StatusCode.NOT_FOUND, CollectionLostError, "something else deletes or renames"),
        (StatusCode.INVALID_ARGUMENT, RefusedRequestError, "what the server said"),
        (StatusCode.RESOURCE_EXHAUSTED, BusyError, "fewer writers"),
        (StatusCode.INTERNAL, BusyError, "Look at its log and disk"),
        (StatusCode.UNKNOWN, BusyError, "Look at its log and disk"),
        (StatusCode.FAILED_PRECONDITION, BusyError, "what the server said"),
    ],
)
def test_error_names_the_connection_and_the_remedy(code: StatusCode, kind: type[PatternsError], says: str) -> None:
    error = explain(CONFIG, "upserting points", AioRpcError(code, Metadata(), Metadata(), "what the server said"))
    assert type(error) is kind
    assert says in str(error)
    assert "Qdrant at connection 'patterns_qdrant' (http://qdrant:6333), upserting points: " in str(error)
    assert "a-secret" not in str(error)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"status":{"error":"Not found: Collection `a`"},"time":0.0}', "something else deletes or renames"),
        (b"", "not as Qdrant does. Check host, port and path of 'patterns_qdrant'"),
        (b"<html>404 Not Found</html>", "not as Qdrant does"),
        (b'["Not found"]', "not as Qdrant does"),
    ],
)
def test_a_404_of_another_server_is_not_a_lost_collection(content: bytes, says: str) -> None:
    error = explain(CONFIG, "listing the collections", UnexpectedResponse(404, "Not Found", content, httpx.Headers()))
    assert type(error) is CollectionLostError
    assert says in str(error)


@pytest.mark.parametrize(
    ("status", "code", "exists", "failed"),
    [
        (409, StatusCode.ALREADY_EXISTS, True, False),
        (500, StatusCode.INTERNAL, False, True),
        (503, StatusCode.UNAVAILABLE, False, False),
    ],
)
def test_both_interfaces_say_the_same(status: int, code: StatusCode, exists: bool, failed: bool) -> None:
    over_http = UnexpectedResponse(status, "reason", b"", httpx.Headers())
    over_grpc = AioRpcError(code, Metadata(), Metadata(), "reason")
    for error in (over_http, over_grpc):
        assert (already_exists(error), failed_inside(error)) == (exists, failed)
