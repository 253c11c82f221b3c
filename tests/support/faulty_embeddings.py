"""A real embedding server for tests and benchmarks: speaks Ollama and OpenAI, and misbehaves on demand.

Vectors come from the hashing embedder, so they are the same for the same text everywhere.

Cost model: one request takes ``request_seconds + text_seconds * texts``; requests are served in parallel unless
``serial`` is set, as on a machine with one accelerator.
"""

import base64
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from code_patterns.embeddings.hashing import hash_text

_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    :param status: answer with this status instead of vectors; 200 answers vectors
    :param retry_after: value of the ``Retry-After`` header
    :param body: answer with this text instead of vectors
    :param content_type: its type
    :param delay: seconds to wait before the answer
    :param reset: send half an answer, then reset the connection
    :param spoil: change the vectors before they are sent
    """

    status: int = 200
    retry_after: str | None = None
    body: str | None = None
    content_type: str = "application/json"
    delay: float = 0.0
    reset: bool = False
    spoil: Callable[[list[list[float]]], list[Any]] | None = None


HTML = Fault(body="<!doctype html><html><body>Welcome</body></html>", content_type="text/html")
ERROR_BODY = Fault(body='{"error": "out of memory"}')
RESET = Fault(reset=True)
TOO_FEW = Fault(spoil=lambda vectors: vectors[1:])
RAGGED = Fault(spoil=lambda vectors: [vectors[0][:-1], *vectors[1:]])
SHORTER = Fault(spoil=lambda vectors: [vector[:-1] for vector in vectors])
NAN = Fault(spoil=lambda vectors: [[float("nan"), *vector[1:]] for vector in vectors])
INFINITE = Fault(spoil=lambda vectors: [[float("inf"), *vector[1:]] for vector in vectors])
NULLS = Fault(spoil=lambda vectors: [[None, *vector[1:]] for vector in vectors])
ZEROS = Fault(spoil=lambda vectors: [[0.0] * len(vector) for vector in vectors])


def status(code: int, retry_after: str | None = None, message: str = "as ordered") -> Fault:
    """A fault that answers with a status and an error message."""
    return Fault(status=code, retry_after=retry_after, body=json.dumps({"error": message}))


@dataclass
class EmbeddingServer:
    """What the server does, and what it saw.

    :param dimension: length of the vectors
    :param model: the only model it knows; any name will do when empty
    :param api_key: bearer token it demands, or ``None``
    :param request_seconds: time one request takes
    :param text_seconds: time each text of a request takes
    :param serial: requests are worked off one after another
    """

    dimension: int = 768
    model: str = ""
    api_key: str | None = None
    request_seconds: float = 0.0
    text_seconds: float = 0.0
    serial: bool = False
    endpoints: tuple[str, ...] = ("/api/embed", "/v1/embeddings")
    """Paths it answers; one that ends in ``/embed`` speaks Ollama."""
    max_tokens: int | None = None
    """Requests with a longer text meet ``too_long``, unless Ollama is told to truncate."""
    too_long: Fault = field(default_factory=lambda: status(400, message="too long"))
    indices: Literal["any order", "none", "zero", "some", "twice"] = "any order"
    """What the vectors of an OpenAI answer are numbered by."""
    knows_base64: bool = True

    faults: deque[Fault] = field(default_factory=deque)
    """Each request takes one from the left, until none is left."""
    always: Fault | None = None
    """What every request meets once ``faults`` is empty."""
    markers: dict[str, Fault] = field(default_factory=dict)
    """Requests with a text that contains the key meet this fault, and use up none of the others."""

    url: str = ""
    requests: int = 0
    batches: list[list[str]] = field(default_factory=list)
    """The texts of every request that was answered with vectors, prefixes included."""
    targets: list[str] = field(default_factory=list)
    """Path and query of every request."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Every request's body, without its texts."""
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _accelerator: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """TCP port on the loopback interface."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def texts(self) -> list[str]:
        """Every text that was answered with a vector, in order of the answers."""
        return [text for batch in self.batches for text in batch]

    def is_too_long(self, texts: list[str]) -> bool:
        """Whether the model does not take one of the texts."""
        return self.max_tokens is not None and any(len(_TOKEN.findall(text)) > self.max_tokens for text in texts)

    def vector(self, text: str) -> list[float]:
        """The vector of a text."""
        return [float(value) for value in hash_text(text, self.dimension)]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Count a request while it is served."""
        with self._lock:
            self.requests += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def fault_for(self, texts: list[str]) -> Fault | None:
        """Choose what this request meets."""
        for marker, fault in self.markers.items():
            if any(marker in text for text in texts):
                return fault
        if self.is_too_long(texts):
            return self.too_long
        with self._lock:
            return self.faults.popleft() if self.faults else self.always

    def work(self, texts: list[str]) -> None:
        """Take the time of the cost model."""
        seconds = self.request_seconds + self.text_seconds * len(texts)
        if self.serial:
            with self._accelerator:
                time.sleep(seconds)
        elif seconds:
            time.sleep(seconds)


def _numbered(vectors: list[Any], indices: str) -> list[dict[str, Any]]:
    data = [{"object": "embedding", "embedding": vector, "index": index} for index, vector in enumerate(vectors)]
    if indices == "any order":
        # Servers that work in parallel answer in any order.
        return data[::-1]
    for item in data:
        if indices == "none" or (indices == "some" and item["index"] % 2):
            del item["index"]
        elif indices == "zero":
            item["index"] = 0
        elif indices == "twice":
            item["index"] //= 2
    return data


def handler(server: EmbeddingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.entered():
                self._serve(body)

        def _serve(self, body: dict[str, Any]) -> None:
            if server.api_key and self.headers.get("Authorization") != f"Bearer {server.api_key}":
                return self._send(401, f"wrong key: {self.headers.get('Authorization')}")
            path = self.path.partition("?")[0]
            with server._lock:
                server.targets.append(self.path)
                server.bodies.append({key: value for key, value in body.items() if key != "input"})
                server.headers.append(dict(self.headers))
            if path not in server.endpoints:
                return self._send(404, "no such page")
            if server.model and body["model"] != server.model:
                return self._send(404, f'model "{body["model"]}" not found, try pulling it first')
            texts = body["input"]
            fault = server.fault_for(texts) or Fault()
            server.work(texts)
            time.sleep(fault.delay)
            if fault.status != 200 or fault.body is not None:
                return self._write(fault.status, fault.body or "", fault)
            dimension = body.get("dimensions", server.dimension)
            vectors: list[Any] = [[float(value) for value in hash_text(text, dimension)] for text in texts]
            if fault.spoil:
                vectors = fault.spoil(vectors)
            elif not fault.reset:
                with server._lock:
                    server.batches.append(texts)
            if path.endswith("/embed"):
                answer: dict[str, Any] = {"model": body["model"], "embeddings": vectors}
            else:
                if server.knows_base64 and body.get("encoding_format") == "base64":
                    vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
                answer = {"object": "list", "data": _numbered(vectors, server.indices), "model": body["model"]}
            return self._write(200, json.dumps(answer), fault)

        def _send(self, code: int, message: str) -> None:
            self._write(code, json.dumps({"error": message}), Fault())

        def _write(self, code: int, text: str, fault: Fault) -> None:
            data = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", fault.content_type)
            self.send_header("Content-Length", str(len(data)))
            if fault.retry_after is not None:
                self.send_header("Retry-After", fault.retry_after)
            self.end_headers()
            if not fault.reset:
                self.wfile.write(data)
                return
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            # Linger time 0 makes close() send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    return Handler


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up on a slow answer are part of the game."""


@contextmanager
def running(server: EmbeddingServer | None = None, port: int = 0) -> Iterator[EmbeddingServer]:
    """Serve on a loopback port, by default a free one, until the block ends."""
    server = server or EmbeddingServer()
    httpd = QuietServer(("127.0.0.1", port), handler(server))
    server.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
