"""A real HTTP proxy on the loopback interface: forwards plain requests, tunnels CONNECT, or refuses."""

import base64
import http.client
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class ProxyServer:
    """What the proxy does, and what it saw.

    :param status: refuse everything with this status; 0 refuses nothing
    :param login: ``user:password`` it demands, or nothing
    """

    status: int = 0
    login: str = ""
    url: str = ""
    seen: list[str] = field(default_factory=list)
    """Method and target of every request."""

    @property
    def port(self) -> int:
        """TCP port on the loopback interface."""
        return int(self.url.rsplit(":", 1)[1])


def _handler(proxy: ProxyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

        def _admitted(self) -> bool:
            proxy.seen.append(f"{self.command} {self.path}")
            wanted = f"Basic {base64.b64encode(proxy.login.encode()).decode()}"
            status = proxy.status
            if proxy.login and self.headers.get("Proxy-Authorization") != wanted:
                status = 407
            if status:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            return not status

        def do_CONNECT(self) -> None:
            if not self._admitted():
                return
            host, port = self.path.rsplit(":", 1)
            with socket.create_connection((host, int(port))) as server:
                self.send_response(200)
                self.end_headers()
                ends = {self.connection: server, server: self.connection}
                while True:
                    for end in select.select(list(ends), [], [])[0]:
                        data = end.recv(65536)
                        if not data:
                            self.close_connection = True
                            return
                        ends[end].sendall(data)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self._admitted():
                return
            target = urlsplit(self.path)
            server = http.client.HTTPConnection(target.netloc)
            headers = {name: value for name, value in self.headers.items() if not name.startswith("Proxy-")}
            server.request("POST", self.path[len(f"http://{target.netloc}") :], body, headers)
            answer = server.getresponse()
            data = answer.read()
            server.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the game."""


@contextmanager
def running(proxy: ProxyServer) -> Iterator[ProxyServer]:
    """Serve on a free loopback port until the block ends."""
    httpd = _QuietServer(("127.0.0.1", 0), _handler(proxy))
    proxy.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
