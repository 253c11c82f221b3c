"""An HTTP server that records what arrives, with or without TLS."""

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Recorder:
    """A running server.

    :param port: where it listens on loopback
    :param requests: method and path of every request
    :param headers: headers of every request, by their names in lower case
    :param answer: JSON of every answer
    """

    port: int
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Any = None


@contextmanager
def recording(certificate: Path | None = None, clients: Path | None = None) -> Iterator[Recorder]:
    """Serve on a free loopback port until the block ends.

    :param certificate: PEM file of key and certificate, for HTTPS
    :param clients: PEM file of the authority that must have signed the client's certificate; ``None`` asks for none
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self) -> None:
            recorder.requests.append(f"{self.command} {self.path}")
            recorder.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = json.dumps(recorder.answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - named by http.server

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: object) -> None:
            """A client that does not trust the certificate hangs up; one that is not trusted is to hear why.

            Closing with its request unread would reset the connection before it has read that.
            """
            request.settimeout(1)
            with suppress(OSError):
                while socket.socket.recv(request, 65_536):
                    pass

    server = Server(("127.0.0.1", 0), Handler)
    recorder = Recorder(server.server_address[1])
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if clients:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        # The handshake belongs to the thread of its request: a client that waits in it must not stop the others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
