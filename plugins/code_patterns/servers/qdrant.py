"""Open a client of Qdrant, and send requests with retries."""

import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from qdrant_client import AsyncQdrantClient, grpc, models
from qdrant_client.conversions.conversion import RestToGrpc
from qdrant_client.http.exceptions import ResponseHandlingException
from tenacity import retry_if_exception_type, retry_if_not_exception_type

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError, without_frames
from code_patterns.servers import grpc_payloads
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_embedded import WAIT_SECONDS, EmbeddedClient, open_embedded
from code_patterns.servers.qdrant_errors import CollectionLostError, RefusedRequestError, explain
from code_patterns.servers.retry import RetryPolicy
from code_patterns.servers.tls import tls_context

log = logging.getLogger(__name__)

LEAST_VERSION = (1, 16)
"""The oldest version of Qdrant that works: it keeps what is said about a collection (its metadata)."""
_ADDS_VECTORS = (1, 18)
"""The oldest version that adds a vector to a collection that exists."""
LEAST_VERSION_TEXT = ".".join(map(str, LEAST_VERSION))
CONNECTIONS = httpx.Limits(keepalive_expiry=5.0)
"""Connections to a server: as many as are in use. Of itself the client keeps none open to a server on this machine."""
RETRY = RetryPolicy(total=300.0)
"""When to give a request up; each attempt may take the connection's ``timeout``."""

Result = TypeVar("Result")


def client_arguments(config: QdrantConfig) -> dict[str, Any]:
    """Return the arguments of a client, blocking or not, for exactly the configured address.

    The parts are given one by one, because the client fills in by itself what a URL leaves open.

    :param config: a server, not an embedded storage
    """
    url = urlsplit(config.url)
    https = url.scheme == "https"
    host = url.hostname or ""
    context = tls_context(
        config.url,
        conn_id=config.conn_id,
        ca_file=config.ca_file,
        verify=config.verify,
        cert_file=config.cert_file,
        key_file=config.key_file,
    )
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
        "grpc_options": _grpc_certificates(config) if https else None,
        "verify": context,
    }


def _grpc_certificates(config: QdrantConfig) -> dict[str, bytes] | None:
    """Return the files' contents under the names of gRPC's credentials, which takes no context."""
    files = {
        "root_certificates": config.ca_file,
        "private_key": config.cert_file and (config.key_file or config.cert_file),
        "certificate_chain": config.cert_file,
    }
    return {name: Path(file).read_bytes() for name, file in files.items() if file} or None


async def _acknowledge_at_once(response: httpx.Response) -> None:
    """Let the system acknowledge this answer now.

    Qdrant sends head and body apart, and the body only when the head was acknowledged. On a connection that is kept
    open Linux waits 40 ms with that, to send it along with the next request.
    """
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream else None
    if connection is not None and hasattr(socket, "TCP_QUICKACK"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


async def open_client(
    config: QdrantConfig, *, wait_seconds: float = WAIT_SECONDS, limits: httpx.Limits = CONNECTIONS
) -> AsyncQdrantClient:
    """Open a client; for an embedded storage, wait while another process holds it.

    :param config: the server or storage
    :param wait_seconds: how long to wait for the embedded storage
    :param limits: of its connections to a server
    :raises BusyStorageError: another process had the embedded storage open for longer than that
    """
    if config.path:
        return await open_embedded(config, wait_seconds)
    hooks = {"response": [_acknowledge_at_once]}
    return AsyncQdrantClient(**client_arguments(config), limits=limits, event_hooks=hooks)


class Qdrant:
    """An open client with retries; its errors name the connection.

    :param config: the server or storage
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
        self, doing: str, request: Callable[[], Awaitable[Result]], *, attempts: int | None = None
    ) -> Result:
        """Send a request that may be repeated safely; repeat it after temporary errors.

        :param doing: what it does, for messages, such as "reading the collections"
        :param request: sends it
        :param attempts: most attempts; ``None`` for the policy's
        :raises PatternsError: see :func:`~code_patterns.servers.qdrant_errors.explain`
        """
        policy = RETRY if attempts is None else replace(RETRY, attempts=attempts)
        retrying = policy.retrying(
            retry_if_exception_type(OutageError) & retry_if_not_exception_type(CollectionLostError)
        )

        async def explained() -> Result:
            try:
                return await request()
            except Exception as error:
                if isinstance(self.client, EmbeddedClient):
                    self.client.is_as_loaded = False
                raise explain(self.config, doing, without_frames(error)) from None

        try:
            return await retrying(explained)
        except BaseException as error:
            # The retries hold the error, and its traceback would hold their frames.
            raise error.with_traceback(None) from None

    async def put_points(self, collection: str, body: bytes) -> models.UpdateResult:
        """Write encoded points, and wait until they are stored.

        The client's models take several times as long to encode vectors, and need twice the bytes for each number.

        :param collection: the real collection
        :param body: JSON of a ``PointsList``, see https://api.qdrant.tech/api-reference/points/upsert-points
        """
        if self.config.path or self.config.prefer_grpc:
            points: Sequence[models.PointStruct] = (
                models.PointsList.model_validate_json(body).points
                if self.config.path
                else grpc_payloads.points_of(self.config, body)
            )
            return await self.client.upsert(collection, points=points, wait=True)
        # The generated client sends a body that is not one of its models unchanged.
        answer = await self.client.http.points_api.upsert_points(
            collection,
            wait=True,
            point_insert_operations=body,  # type: ignore[arg-type]
        )
        return _present(answer.result)

    async def update_points(self, collection: str, body: bytes) -> Sequence[models.UpdateResult]:
        """Do encoded operations on points one after the other, and wait until they are done.

        :param collection: the real collection
        :param body: JSON of ``UpdateOperations``, see https://api.qdrant.tech/api-reference/points/batch-update
        """
        if self.config.path or self.config.prefer_grpc:
            operations: Sequence[models.UpdateOperation] = (
                models.UpdateOperations.model_validate_json(body).operations
                if self.config.path
                else grpc_payloads.operations_of(self.config, body)
            )
            return await self.client.batch_update_points(collection, update_operations=operations, wait=True)
        answer = await self.client.http.points_api.batch_update(
            collection,
            wait=True,
            update_operations=body,  # type: ignore[arg-type]
        )
        return _present(answer.result)

    async def count(self, collection: str, consistency: models.ReadConsistency | None) -> int:
        """Count the points of a collection exactly.

        The client's own method does not take the consistency.

        :param collection: the real collection
        :param consistency: how many replicas of a cluster to ask, see https://qdrant.tech/documentation/operations/distributed_deployment/
        """
        if self.config.path or consistency is None:
            return int((await self.client.count(collection, exact=True)).count)
        if self.config.prefer_grpc:
            wanted = RestToGrpc.convert_read_consistency(consistency)
            request = grpc.CountPoints(collection_name=collection, exact=True, read_consistency=wanted)
            return int((await self.client.grpc_points.Count(request, timeout=self.config.timeout)).result.count)
        answer = await self.client.http.points_api.count_points(
            collection, consistency=consistency, count_request=models.CountRequest(exact=True)
        )
        return int(_present(answer.result).count)

    async def query_batch(self, collection: str, body: bytes) -> Sequence[models.QueryResponse]:
        """Send several encoded searches at once; return their answers in the same order.

        The client copies its models several times before it sends them.

        :param collection: alias or collection
        :param body: JSON of a ``QueryRequestBatch``, see https://api.qdrant.tech/api-reference/search/query-batch-points
        """
        if self.config.path or self.config.prefer_grpc:
            requests = models.QueryRequestBatch.model_validate_json(body).searches
            return await self.client.query_batch_points(collection, requests=requests)
        answer = await self.client.http.search_api.query_batch_points(
            collection,
            query_request_batch=body,  # type: ignore[arg-type]
        )
        return _present(answer.result)


def _present(result: Result | None) -> Result:
    if result is None:
        raise ResponseHandlingException(ValueError("an answer without a result"))
    return result


async def refuse_old_qdrant(qdrant: Qdrant) -> str:
    """Check the server's version before anything else is asked.

    :return: the version; empty for the embedded storage, and behind a gateway that serves collections and nothing else
    :raises ConfigurationError: it is too old
    :raises OutageError: it cannot be reached
    """
    version = await _version(qdrant)
    if version and _numbers(version) < LEAST_VERSION:
        raise ConfigurationError(
            Code.QDRANT_TOO_OLD,
            f"Qdrant at {qdrant.config.address} is version {version}; version {LEAST_VERSION_TEXT} or newer is "
            "needed, which keeps what is said about a collection (its metadata). Upgrade it, one minor version after "
            "the other.",
        )
    return version


async def adds_vectors(qdrant: Qdrant) -> bool:
    """Whether Qdrant can add a vector to a collection that exists; one that does not tell its version may not.

    :raises OutageError: it cannot be reached
    """
    return bool(qdrant.config.path) or _numbers(await _version(qdrant)) >= _ADDS_VECTORS


async def _version(qdrant: Qdrant) -> str:
    if qdrant.config.path:
        return ""
    try:
        answer = await qdrant.call("asking for its version", qdrant.client.info, attempts=1)
    except (RefusedRequestError, CollectionLostError):
        return ""
    return answer.version


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
