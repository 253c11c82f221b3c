"""What a failed question leaves in cycles stays in a service's memory until Python collects everything, after hours."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from code_patterns.errors import OutageError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_pool import PostgresPool
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from tests.support.frames import frames_left_behind

FAILURES = 2
SECONDS = 0.1
KINDS = ["away", "resetting", "silent"]


@contextmanager
def sick_server(kind: str) -> Iterator[int]:
    """A port where nothing listens, or every connection is reset after its first bytes, or nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        port = listener.getsockname()[1]
        if kind == "resetting":
            threading.Thread(target=_reset_all, args=(listener,), daemon=True).start()
        elif kind == "away":
            listener.close()
        yield port


def _reset_all(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_qdrant(kind: str) -> None:
    async def fail() -> None:
        async with Qdrant.open(QdrantConfig("patterns_qdrant", url=f"http://127.0.0.1:{port}", timeout=1)) as qdrant:
            for _ in range(FAILURES):
                with pytest.raises(OutageError):
                    await qdrant.call("asking", qdrant.client.get_collections, attempts=1)

    with sick_server(kind) as port:
        assert frames_left_behind(fail) == []


@pytest.mark.parametrize("kind", KINDS)
def test_qdrant_in_a_limited_time(kind: str) -> None:
    async def fail() -> None:
        async with Qdrant.open(QdrantConfig("patterns_qdrant", url=f"http://127.0.0.1:{port}", timeout=9)) as qdrant:
            for _ in range(FAILURES):
                with pytest.raises((OutageError, TimeoutError)):
                    await asyncio.wait_for(qdrant.call("asking", qdrant.client.get_collections, attempts=9), SECONDS)

    with sick_server(kind) as port:
        assert frames_left_behind(fail) == []


@pytest.mark.parametrize("kind", KINDS)
def test_postgres(kind: str) -> None:
    options = {"connect_timeout": str(SECONDS)}

    async def fail() -> None:
        pool = PostgresPool(
            PostgresConfig("patterns_postgres", "127.0.0.1", "patterns", "reader", port=port, options=options), 9
        )
        for _ in range(FAILURES):
            with pytest.raises(OutageError):
                await pool.fetch("web_status")
        await pool.close()

    with sick_server(kind) as port:
        assert frames_left_behind(fail) == []
