"""A relay in front of a server that makes it as far away as one in the same data centre.

The servers of a measurement run on this machine, where an answer takes no way. A worker's database does not.
"""

import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from code_patterns.servers.postgres import PostgresConfig

ROUND_TRIP_SECONDS = 0.0005
"""What a relay adds to a question and its answer. Zones of one cloud region are 0.3 to 1 ms apart."""
_CHUNK = 65_536


@contextmanager
def at_a_distance(config: PostgresConfig) -> Iterator[PostgresConfig]:
    """Run a relay in a process of its own.

    :param config: the server
    :return: the same server, reached through the relay
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = multiprocessing.get_context("spawn").Process(
            target=_accept, args=(listener, config.host, config.port), daemon=True
        )
        relay.start()
        try:
            yield replace(config, host="127.0.0.1", port=listener.getsockname()[1])
        finally:
            relay.terminate()
            relay.join()


def _accept(listener: socket.socket, host: str, port: int) -> None:
    while True:
        client, _ = listener.accept()
        server = _connect(host, port)
        for side in (client, server):
            if side.family != socket.AF_UNIX:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for sides in ((client, server), (server, client)):
            threading.Thread(target=_pass_on, args=sides, daemon=True).start()


def _connect(host: str, port: int) -> socket.socket:
    if host.startswith("/"):
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server
    return socket.create_connection((host, port))


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Hand over what one side says, each time after half a round trip; hang up when it does."""
    with suppress(OSError):
        while said := source.recv(_CHUNK):
            time.sleep(ROUND_TRIP_SECONDS / 2)
            sink.sendall(said)
        sink.shutdown(socket.SHUT_RDWR)
