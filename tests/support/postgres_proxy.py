"""A man in the middle before a real PostgreSQL: a pooler, an older server, or a network that loses one answer."""

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field

from code_patterns.servers.postgres import PostgresConfig

KNOWN_AT_START = {"user", "database", "application_name", "client_encoding"}
"""What a pooler passes on of the settings with which a session starts."""
LATEST_SETTING = b"idle_session_timeout"
"""The youngest setting of every session: PostgreSQL 14 has it."""
_NO_TLS = (80877103, 80877104)


@dataclass
class PostgresProxy:
    """What it does, and what it saw.

    :param server: the real server
    :param pooler: refuse settings at the start of a session, and report a made-up server process
    :param shared: give all sessions the same server process, as transaction mode does
    :param version: say that the server has this version, and know no settings of later ones
    :param lose: lose the answer to the next statement that holds this text, once the server has done it
    :param lost: how many answers were lost
    :param awake: while it is cleared, nothing is passed on, as by a server or a network that hangs
    """

    server: PostgresConfig
    pooler: bool = False
    shared: bool = False
    version: str = ""
    lose: bytes = b""
    lost: int = 0
    port: int = 0
    awake: threading.Event = field(default_factory=threading.Event)
    _one: "_Server | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock)


class _Server:
    """One session of the real server."""

    def __init__(self, config: PostgresConfig) -> None:
        if config.host.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(f"{config.host}/.s.PGSQL.{config.port}")
        else:
            self.socket = socket.create_connection((config.host, config.port))
        self.greeting: list[bytes] = []
        self.in_use = threading.Lock()


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def _message(source: socket.socket) -> bytes:
    head = _exactly(source, 5)
    return head + _exactly(source, struct.unpack("!I", head[1:])[0] - 4)


def _start(client: socket.socket) -> bytes:
    """Read the first packet of a session; TLS is declined."""
    while True:
        size = _exactly(client, 4)
        packet = _exactly(client, struct.unpack("!I", size)[0] - 4)
        if struct.unpack("!I", packet[:4])[0] not in _NO_TLS:
            return size + packet
        client.sendall(b"N")


def _refusal(sqlstate: str, said: str) -> bytes:
    text = f"SFATAL\0VFATAL\0C{sqlstate}\0M{said}\0\0".encode()
    return b"E" + struct.pack("!I", len(text) + 4) + text


def _status(name: str, value: str) -> bytes:
    text = f"{name}\0{value}\0".encode()
    return b"S" + struct.pack("!I", len(text) + 4) + text


def _serve(proxy: PostgresProxy, client: socket.socket) -> None:
    start = _start(client)
    words = start[8:].split(b"\0")
    names = [word.decode() for word in words[0:-2:2]]
    if proxy.pooler and (unknown := [name for name in names if name not in KNOWN_AT_START]):
        client.sendall(_refusal("08P01", f"unsupported startup parameter: {unknown[0]}"))
        return
    if proxy.version and int(proxy.version.partition(".")[0]) < 14 and LATEST_SETTING in start:
        client.sendall(_refusal("42704", f'unrecognized configuration parameter "{LATEST_SETTING.decode()}"'))
        return
    with proxy._lock:
        fresh = proxy._one is None or not proxy.shared
        server = _Server(proxy.server) if fresh else proxy._one
        assert server
        if fresh:
            server.socket.sendall(start)
            _authenticate(proxy, client, server)
            proxy._one = server
        else:
            client.sendall(b"R" + struct.pack("!II", 8, 0) + b"".join(server.greeting))
    with suppress(OSError):
        _relay(proxy, client, server)
    if not proxy.shared:
        server.socket.close()


def _authenticate(proxy: PostgresProxy, client: socket.socket, server: _Server) -> None:
    while True:
        message = _message(server.socket)
        if message[:1] == b"K" and proxy.pooler:
            message = message[:5] + struct.pack("!I", 2_000_000_000) + message[9:]
        if message.startswith(b"server_version\0", 5) and proxy.version:
            message = _status("server_version", proxy.version)
        if message[:1] in b"SKZ":
            server.greeting.append(message)
        client.sendall(message)
        if message[:1] == b"Z":
            return
        if message[:1] == b"R" and message[5:9] not in (b"\0\0\0\0", b"\0\0\0\x0c"):
            server.socket.sendall(_message(client))


def _relay(proxy: PostgresProxy, client: socket.socket, server: _Server) -> None:
    prepared: dict[bytes, bytes] = {}
    while True:
        if proxy.shared:
            select.select([client], [], [])
        with server.in_use if proxy.shared else nullcontext():
            if not _exchange(proxy, client, server, prepared):
                return


def _exchange(proxy: PostgresProxy, client: socket.socket, server: _Server, prepared: dict[bytes, bytes]) -> bool:
    """Pass messages on, with a shared server process until its transaction ends; return whether the client stays."""
    lose = False
    while True:
        for source in select.select([client, server.socket], [], [])[0]:
            message = _message(source)
            proxy.awake.wait()
            kind, body = message[:1], message[5:]
            if source is client:
                if kind == b"X":
                    return False
                text = _statement(kind, body, prepared)
                lose = lose or bool(proxy.lose and proxy.lose in text)
                server.socket.sendall(message)
                continue
            if lose and kind == b"Z":
                proxy.lose, proxy.lost = b"", proxy.lost + 1
                return False
            if not lose:
                client.sendall(message)
            if proxy.shared and message[:1] == b"Z" and body == b"I":
                return True


def _statement(kind: bytes, body: bytes, prepared: dict[bytes, bytes]) -> bytes:
    """Return the text of the statement that a message of the client runs."""
    if kind == b"P":
        name, text, _ = body.split(b"\0", 2)
        prepared[name] = text
    if kind == b"B":
        return prepared.get(body.split(b"\0", 2)[1], b"")
    return body if kind == b"Q" else b""


@contextmanager
def before(server: PostgresConfig, **behaviour: bool | bytes | str) -> Iterator[PostgresProxy]:
    """Stand before a server, on a free loopback port, until the block ends."""
    proxy = PostgresProxy(server, **behaviour)  # type: ignore[arg-type]
    proxy.awake.set()
    listener = socket.create_server(("127.0.0.1", 0))
    proxy.port = listener.getsockname()[1]

    def handle(client: socket.socket) -> None:
        # A socket that another thread has closed is a ValueError for select.
        with client, suppress(OSError, ValueError):
            proxy.awake.wait()
            _serve(proxy, client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=handle, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.awake.set()
        # Closing alone does not wake the thread that accepts.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        if proxy._one:
            proxy._one.socket.close()
