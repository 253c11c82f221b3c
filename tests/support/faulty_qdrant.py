"""A Qdrant server for tests that misbehaves on demand.

Speaks the part of Qdrant's REST API that the project uses. The points are in the client's own local mode, or, where
PATTERNS_TEST_QDRANT_URL names a server, in that one: requests then pass through unchanged.
"""

import json
import os
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Protocol

import httpx
import orjson
from pydantic import TypeAdapter, ValidationError
from qdrant_client import QdrantClient, models

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Largest request body that a Qdrant server takes unless configured otherwise (service.max_request_size_mb)."""

Operation = Literal["upsert", "payload", "delete", "retrieve", "scroll", "read", "version", "drop", "manage"]

_OPERATIONS: list[tuple[str, str, Operation]] = [
    ("PUT", r"/collections/[^/]+/points", "upsert"),
    ("POST", r"/collections/[^/]+/points/(batch|payload)", "payload"),
    ("POST", r"/collections/[^/]+/points/delete", "delete"),
    ("POST", r"/collections/[^/]+/points/scroll", "scroll"),
    ("POST", r"/collections/[^/]+/points", "retrieve"),
    ("POST", r"/collections/[^/]+/points/(count|query|query/batch)", "read"),
    ("GET", r"/", "version"),
    ("DELETE", r"/collections/[^/]+", "drop"),
    ("GET", r".*", "read"),
]


def operation_of(method: str, path: str) -> Operation:
    """What a request does; everything that is no other operation manages collections and aliases."""
    for known, pattern, operation in _OPERATIONS:
        if method == known and re.fullmatch(pattern, path):
            return operation
    return "manage"


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    :param status: answer with this status instead of doing the request; 0 does it
    :param error: Qdrant's error text
    :param retry_after: value of the ``Retry-After`` header
    :param reset: reset the connection ``before`` the request is done, or ``after``, in the middle of the answer
    :param acknowledged: do the write, but say that it was only accepted
    :param delay: seconds to wait before the request is done
    :param delay_answer: seconds to wait after the request is done
    """

    status: int = 0
    error: str = "as ordered"
    retry_after: str | None = None
    reset: Literal["", "before", "after"] = ""
    acknowledged: bool = False
    delay: float = 0.0
    delay_answer: float = 0.0


NONE = Fault()
LOST_ANSWER = Fault(reset="after")
BROKEN_REQUEST = Fault(reset="before")
ACKNOWLEDGED = Fault(acknowledged=True)
BUSY = Fault(429, "Rate limiting exceeded: Write rate limit exceeded, retry later")
UNAVAILABLE = Fault(503, "Service unavailable")
DISK_FULL = Fault(500, "Service internal error: No space left on device: WAL buffer size exceeds available disk space")
FORBIDDEN = Fault(403, "Forbidden: Global access is required")
UNAUTHORIZED = Fault(401, "Invalid API key or JWT")
STRICT = Fault(400, "Bad request: Max points count limit of 10 reached!")

Answer = tuple[int, bytes]


class Backend(Protocol):
    """Where requests are really done."""

    def do(self, method: str, path: str, query: str, body: bytes) -> Answer:
        """Do a request; return status and JSON."""

    def close(self) -> None:
        """Let go of it."""


class Forward:
    """Another Qdrant server."""

    def __init__(self, url: str, api_key: str | None) -> None:
        headers = {"api-key": api_key} if api_key else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=60)

    def do(self, method: str, path: str, query: str, body: bytes) -> Answer:
        answer = self._client.request(
            method, f"{path}?{query}", content=body, headers={"Content-Type": "application/json"}
        )
        return answer.status_code, answer.content

    def close(self) -> None:
        self._client.close()


class Local:
    """The client's local mode, in memory."""

    version = "1.18.0"
    """The version of Qdrant that it claims to be."""

    def __init__(self) -> None:
        self._options: dict[str, dict[str, Any]] = {}
        self._indexes: dict[str, dict[str, Any]] = {}
        self._client = QdrantClient(":memory:")
        self._lock = threading.Lock()
        self._operation: TypeAdapter[Any] = TypeAdapter(models.UpdateOperation)
        self._insert: TypeAdapter[Any] = TypeAdapter(models.PointInsertOperations)

    def close(self) -> None:
        self._client.close()

    def do(self, method: str, path: str, query: str, body: bytes) -> Answer:
        if len(body) > MAX_BODY_BYTES:
            return _error(
                400, f"JSON payload ({len(body)} bytes) is larger than allowed (limit: {MAX_BODY_BYTES} bytes)."
            )
        try:
            # As strict as Qdrant's own parser: no NaN, no lone surrogate.
            sent = orjson.loads(body) if body else {}
        except ValueError as error:
            return _error(400, f"Format error in JSON body: {error}")
        parts = path.strip("/").split("/")
        if parts == [""]:
            return 200, json.dumps({"title": "qdrant - vector search engine", "version": self.version}).encode()
        try:
            with self._lock:
                result = self._do(method, parts, sent)
        except KeyError as error:
            return _error(404, f"Not found: No point with id {error} found")
        except (ValueError, ValidationError) as error:
            status = 404 if "not found" in str(error) else 409 if "already exists" in str(error) else 400
            return _error(status, str(error))
        return 200, json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()

    def _do(self, method: str, parts: list[str], sent: dict[str, Any]) -> Any:
        match method, parts:
            case "GET", ["aliases"]:
                return _plain(self._client.get_aliases())
            case "GET", ["collections"]:
                return _plain(self._client.get_collections())
            case "POST", ["collections", "aliases"]:
                return self._change_aliases(sent)
            case "GET", ["collections", name]:
                return self._described(name)
            case "PUT", ["collections", name]:
                self._options[name] = _merged({}, sent)
                chosen = models.CreateCollection.model_validate(sent)
                return self._client.create_collection(
                    name,
                    vectors_config=chosen.vectors,
                    sparse_vectors_config=chosen.sparse_vectors,
                    metadata=chosen.metadata,
                )
            case "PATCH", ["collections", name]:
                sent["vectors"] = (sent.get("vectors") or {}).get("", {})
                physical = self._behind(name)
                self._options[physical] = _merged(self._options.get(physical, {}), sent)
                return self._client.update_collection(name, metadata=sent.get("metadata")) or True
            case "PUT", ["collections", name, "vectors", vector]:
                if self.version < "1.18":
                    raise ValueError(f"not found: {parts}")
                config = models.SparseVectorNameConfig.model_validate(sent)
                return _plain(self._client.create_vector_name(name, vector, config))
            case "DELETE", ["collections", name, "vectors", vector]:
                return _plain(self._client.delete_vector_name(name, vector))
            case "PUT", ["collections", name, "index"]:
                # The local mode has no indexes; it answers as a server does.
                self._client.get_collection(name)
                self._indexes.setdefault(self._behind(name), {})[sent["field_name"]] = _index(sent["field_schema"])
                return {"operation_id": 0, "status": "completed"}
            case "DELETE", ["collections", name]:
                self._indexes.pop(name, None)
                return self._client.delete_collection(name)
            case _, ["collections", name, "points", *rest]:
                self._client.get_collection(name)
                return self._do_points(name, rest, sent, method)
        raise ValueError(f"Wrong input: {method} {parts}")

    def _behind(self, name: str) -> str:
        """The real collection of a name."""
        aliases = {item.alias_name: item.collection_name for item in self._client.get_aliases().aliases}
        return aliases.get(name, name)

    def _described(self, name: str) -> Any:
        """What a server says of a collection: the options as they were sent, which the local mode does not keep."""
        described = _plain(self._client.get_collection(name))
        described["payload_schema"] = self._indexes.get(self._behind(name), {})
        options = self._options.get(self._behind(name), {})
        config, vectors = described["config"], options.get("vectors", {})
        config["hnsw_config"] |= options.get("hnsw_config", {})
        config["optimizer_config"] |= options.get("optimizers_config", {})
        config["strict_mode_config"] = options.get("strict_mode_config")
        quantization = options.get("quantization_config")
        config["quantization_config"] = None if quantization == "Disabled" else quantization
        config["params"] |= {"shard_number": 1, "replication_factor": 1, **options.get("params", {})}
        config["params"] |= {name: options[name] for name in _PARAMS if name in options}
        if "on_disk" in vectors:
            config["params"]["vectors"]["on_disk"] = vectors["on_disk"]
        return described

    def _change_aliases(self, sent: dict[str, Any]) -> Any:
        actions = models.ChangeAliasesOperation.model_validate(sent).actions
        return self._client.update_collection_aliases(change_aliases_operations=actions)

    def _do_points(self, name: str, rest: list[str], sent: dict[str, Any], method: str) -> Any:
        match method, rest:
            case "PUT", []:
                insert: Any = self._insert.validate_python(sent)
                points = insert.batch if isinstance(insert, models.PointsBatch) else insert.points
                return _plain(self._client.upsert(name, points=points, update_mode=insert.update_mode))
            case "POST", []:
                ids, payload, vector = sent["ids"], _selector(sent), sent.get("with_vector", False)
                return _plain(self._client.retrieve(name, ids=ids, with_payload=payload, with_vectors=vector))
            case "POST", ["scroll"]:
                records, following = self._client.scroll(
                    name,
                    scroll_filter=models.Filter.model_validate(sent["filter"]) if sent.get("filter") else None,
                    limit=sent.get("limit", 10),
                    offset=sent.get("offset"),
                    with_payload=_selector(sent),
                    with_vectors=sent.get("with_vector", False),
                )
                return {"points": _plain(records), "next_page_offset": following}
            case "POST", ["batch"]:
                operations = [self._operation.validate_python(item) for item in sent["operations"]]
                return _plain(self._client.batch_update_points(name, operations))
            case "POST", ["payload"]:
                return _plain(self._client.set_payload(name, sent["payload"], points=sent["points"]))
            case "POST", ["delete"]:
                return _plain(self._client.delete(name, models.PointIdsList(points=sent["points"])))
            case "POST", ["count"]:
                return _plain(self._client.count(name))
            case "POST", ["query"]:
                asked = models.QueryRequest.model_validate(sent)
                return _plain(self._client.query_points(name, query=asked.query, limit=asked.limit or 10))
            case "POST", ["query", "batch"]:
                searches = models.QueryRequestBatch.model_validate(sent).searches
                return _plain(self._client.query_batch_points(name, searches))
        raise ValueError(f"Wrong input: {method} points/{'/'.join(rest)}")


def _selector(sent: dict[str, Any]) -> Any:
    """Which payload keys are asked for."""
    wanted = sent.get("with_payload", True)
    return models.PayloadSelectorExclude.model_validate(wanted) if isinstance(wanted, dict) else wanted


def _index(schema: Any) -> dict[str, Any]:
    """How a server describes an index that was asked for with this schema: a type's name, or its parameters."""
    params = schema if isinstance(schema, dict) else None
    return {"data_type": params["type"] if params else schema, "params": params, "points": 0}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json", exclude_unset=False)


_PARAMS = ("shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload")


def _merged(before: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """Options after an update: what is not sent stays."""
    merged = dict(before)
    for name, value in sent.items():
        within = isinstance(value, dict) and isinstance(before.get(name), dict) and name != "quantization_config"
        if value is not None:
            merged[name] = _merged(before[name], value) if within else value
    return merged


def _error(status: int, message: str) -> Answer:
    return status, json.dumps({"status": {"error": message}, "time": 0.0}).encode()


@dataclass
class QdrantServer:
    """What the server does, and what it saw."""

    backend: Backend
    faults: dict[Operation, deque[Fault]] = field(default_factory=dict)
    """Each request of an operation takes one from the left, until none is left."""
    always: dict[Operation, Fault] = field(default_factory=dict)
    """What every request of an operation meets when it has no such fault."""
    markers: dict[bytes, Fault] = field(default_factory=dict)
    """Requests whose body contains the key meet this fault, and use up none of the others."""
    forbidden: set[str] = field(default_factory=set)
    """Names by which the key may read and write nothing, as with a key for some collections."""
    api_key: str | None = None
    """The key that it demands, as Qdrant does with ``service.api_key``."""
    before: Callable[[Operation, int], None] | None = None
    """Called before each request is looked at, with its operation and how many of that came before."""

    port: int = 0
    requests: Counter[Operation] = field(default_factory=Counter)
    largest_body: int = 0
    _listening: Callable[[], None] | None = None
    _connections: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def meet(self, operation: Operation, *faults: Fault) -> None:
        """Let the next requests of an operation meet these faults, one each."""
        self.faults.setdefault(operation, deque()).extend(faults)

    def heal(self) -> None:
        """Behave from now on."""
        self.faults.clear()
        self.always.clear()
        self.markers.clear()
        self.forbidden.clear()
        self.before = None
        self.go_up()

    def go_up(self) -> None:
        """Listen, on the same port as ever."""
        if self._listening:
            return
        httpd = _QuietServer(("127.0.0.1", self.port), _handler(self))
        self.port = httpd.server_address[1]
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()

        def stop() -> None:
            httpd.shutdown()
            httpd.server_close()
            thread.join()

        self._listening = stop

    def go_down(self) -> None:
        """Refuse every new connection, and cut those there are."""
        stop, self._listening = self._listening, None
        if stop:
            stop()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def fault_for(self, operation: Operation, body: bytes) -> Fault:
        """Count a request, and choose what it meets."""
        with self._lock:
            count = self.requests[operation]
            self.requests[operation] += 1
            self.largest_body = max(self.largest_body, len(body))
        if self.before:
            self.before(operation, count)
        for marker, fault in self.markers.items():
            if marker in body:
                return fault
        with self._lock:
            queue = self.faults.get(operation)
            return queue.popleft() if queue else self.always.get(operation, NONE)


def _handler(server: QdrantServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

        def setup(self) -> None:
            super().setup()
            with server._lock:
                server._connections.add(self.connection)

        def finish(self) -> None:
            with server._lock:
                server._connections.discard(self.connection)
            super().finish()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            fault = server.fault_for(operation_of(self.command, path), body)
            if path.split("/")[2:3] and path.split("/")[2] in server.forbidden:
                fault = FORBIDDEN
            if server.api_key and self.headers.get("api-key") != server.api_key:
                fault = UNAUTHORIZED
            time.sleep(fault.delay)
            if fault.reset == "before":
                return self._reset()
            if fault.status:
                return self._write(*_error(fault.status, fault.error), fault)
            status, answer = server.backend.do(self.command, path, query, body)
            time.sleep(fault.delay_answer)
            if fault.acknowledged:
                answer = answer.replace(b'"completed"', b'"acknowledged"')
            return self._write(status, answer, fault)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - named by http.server

        def _write(self, status: int, data: bytes, fault: Fault) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if fault.retry_after is not None:
                self.send_header("Retry-After", fault.retry_after)
            self.end_headers()
            if fault.reset != "after":
                self.wfile.write(data)
                return
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self._reset()

        def _reset(self) -> None:
            # Linger time 0 makes close() send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up, and connections that are cut, are part of the game."""


@contextmanager
def running() -> Iterator[QdrantServer]:
    """Serve on a free loopback port until the block ends."""
    url = os.environ.get("PATTERNS_TEST_QDRANT_URL")
    backend: Backend = Forward(url, os.environ.get("PATTERNS_TEST_QDRANT_API_KEY")) if url else Local()
    server = QdrantServer(backend)
    server.go_up()
    try:
        yield server
    finally:
        server.go_down()
        backend.close()
