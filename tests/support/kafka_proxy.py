"""A way to Kafka that can be cut: each broker behind a port of its own, and answers that name these ports.

Kafka's answers tell clients where brokers are. Here the port in them is replaced, which keeps their length.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class KafkaProxy:
    """Brokers of this machine behind other ports.

    :param brokers: host and port of each, as the brokers themselves name them
    """

    def __init__(self, brokers: list[tuple[str, int]]) -> None:
        self._brokers = brokers
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._whole = True
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in brokers]
        self._ports = [listener.getsockname()[1] for listener in self._listeners]
        self._renames = [
            (host.encode() + struct.pack(">i", port), host.encode() + struct.pack(">i", other))
            for (host, port), other in zip(brokers, self._ports, strict=True)
        ]
        for listener, broker in zip(self._listeners, brokers, strict=True):
            threading.Thread(target=self._accept, args=(listener, broker), daemon=True).start()

    @property
    def servers(self) -> str:
        """What a client's ``bootstrap.servers`` is."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def cut(self) -> None:
        """Break every connection, and take no other one."""
        with self._lock:
            self._whole = False
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Let clients come again."""
        self._whole = True

    def close(self) -> None:
        self.cut()
        for listener in self._listeners:
            listener.close()

    def _accept(self, listener: socket.socket, broker: tuple[str, int]) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                if self._whole:
                    threading.Thread(target=self._serve, args=(client, broker), daemon=True).start()
                else:
                    client.close()

    def _serve(self, client: socket.socket, broker: tuple[str, int]) -> None:
        with suppress(OSError), client, socket.create_connection(broker) as server:
            with self._lock:
                self._open |= {client, server}
                if not self._whole:
                    return
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            try:
                while header := _exactly(server, 4):
                    answer = _exactly(server, struct.unpack(">i", header)[0])
                    for here, there in self._renames:
                        answer = answer.replace(here, there)
                    client.sendall(header + answer)
            finally:
                with self._lock:
                    self._open -= {client, server}

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


@contextmanager
def before(brokers: list[tuple[str, int]]) -> Iterator[KafkaProxy]:
    """A proxy before these brokers."""
    proxy = KafkaProxy(brokers)
    try:
        yield proxy
    finally:
        proxy.close()
