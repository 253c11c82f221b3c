"""Requests to Qdrant go exactly where the connection says, whoever opens the client."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.servers.connection_models import ConnectionFields
from code_patterns.servers.qdrant import open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_connection import qdrant_config
from tests.support.http_recorder import recording

NO_COLLECTIONS = {"result": {"collections": []}, "status": "ok", "time": 0.0}


def typed(host: str = "", port: int | None = None, schema: str = "", **more: Any) -> dict[str, Any]:
    password = more.pop("password", None)
    return {"host": host, "port": port, "schema": schema, "password": password, "extra": json.dumps(more)}


def config(fields: dict[str, Any]) -> QdrantConfig:
    return qdrant_config(ConnectionFields("c", **fields))


def opened(fields: dict[str, Any]) -> tuple[str, str]:
    """Where the two clients would send REST requests and gRPC calls."""

    async def look() -> tuple[str, str]:
        client = await open_client(config(fields))
        inner: Any = client._client
        assert inner.openapi_client.client.host == inner.rest_uri
        await client.close()
        return inner.rest_uri, f"{inner._host}:{inner._grpc_port}"

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("fields", "rest", "grpc"),
    [
        (typed("q"), "http://q:6333", "q:6334"),
        (typed("q", 443, "https"), "https://q:443", "q:6334"),
        (typed("q", 80), "http://q:80", "q:6334"),
        (typed("q", 443, https=True), "https://q:443", "q:6334"),
        (typed("q", 443, password="key"), "https://q:443", "q:6334"),
        (typed("q", 80, password="key", https=False), "http://q:80", "q:6334"),
        (typed("q", 443), "http://q:443", "q:6334"),
        (typed("https://q:443"), "https://q:443", "q:6334"),
        (typed("http://q:80/"), "http://q:80", "q:6334"),
        (typed("https://q"), "https://q:6333", "q:6334"),
        (typed("https://q", 443), "https://q:443", "q:6334"),
        (typed(url="https://q:443"), "https://q:443", "q:6334"),
        (typed(url="https://q:443", grpc_port=443), "https://q:443", "q:443"),
        (typed(url="https://q/a/b/"), "https://q:6333/a/b", "q:6334"),
        (typed(url="https://q:443/a"), "https://q:443/a", "q:6334"),
        (typed(url="https://q:443/a", prefix="/a/"), "https://q:443/a", "q:6334"),
        (typed("q", 80, prefix="a/b"), "http://q:80/a/b", "q:6334"),
        (typed("Q.Example", 80), "http://q.example:80", "q.example:6334"),
        (typed("::1", 80), "http://[::1]:80", "[::1]:6334"),
        (typed("http://[::1]:443"), "http://[::1]:443", "[::1]:6334"),
        (typed("my_service", 8080), "http://my_service:8080", "my_service:6334"),
    ],
)
def test_addresses_are_taken_as_typed(
    fields: dict[str, Any], rest: str, grpc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened(fields) == (rest, grpc)
    monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps({"conn_type": "qdrant", **fields}))
    client: Any = PatternsQdrantHook("c").get_conn()
    inner = client._client
    assert (inner.rest_uri, f"{inner._host}:{inner._grpc_port}") == (rest, grpc)
    assert inner.openapi_client.client.host == rest
    client.close()


@pytest.mark.parametrize("prefix", ["", "/a", "/a/b"])
@pytest.mark.parametrize("form", ["host and port", "host", "url"])
def test_requests_arrive_where_they_are_sent(form: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with recording() as server:
        server.answer = NO_COLLECTIONS
        fields = {
            "host and port": typed("127.0.0.1", server.port, prefix=prefix),
            "host": typed(f"http://127.0.0.1:{server.port}{prefix}"),
            "url": typed(url=f"http://127.0.0.1:{server.port}{prefix}/"),
        }[form]

        async def ask() -> None:
            client = await open_client(config(fields))
            await client.get_collections()
            await client.close()

        asyncio.run(ask())
        monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps({"conn_type": "qdrant", **fields}))
        client = PatternsQdrantHook("c").get_conn()
        client.get_collections()
        client.close()
    assert server.requests == [f"GET {prefix}/collections"] * 2


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """A port that notes the first bytes of every connection."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    heard.append(connection.recv(24))
                    connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield server.getsockname()[1], heard


def test_grpc_calls_arrive_at_the_grpc_port() -> None:
    with listening() as (port, heard):

        async def ask() -> None:
            client = await open_client(config(typed("127.0.0.1", 80, prefer_gprc=True, grpc_port=port, timeout=1)))
            with suppress(Exception):
                await client.get_collections()
            await client.close()

        asyncio.run(ask())
    assert heard
    assert heard[0] == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (typed("q:1", 2), "has port 2, and 1 in its host or URL"),
        (typed("q", url="http://p"), "has a host and the extra 'url'"),
        (typed(url="http://q", https=True), "extra 'https' = true and a URL with http"),
        (typed(url="http://q/a", prefix="b"), "a path in its URL and another one in the extra 'prefix'"),
        (typed(url="http://q?api_key=geheim"), "holds a query"),
        (typed("https://geheim@q"), "holds a user or a password"),
        (typed("geheim@q"), "holds a user or a password"),
        (typed(url="https://me:geheim@q/a"), "holds a user or a password"),
        (typed("https://q:geheim"), "makes no server's address"),
        (typed("https://q/#geheim"), "makes no server's address"),
        (typed("ftp://q"), "makes no server's address"),
        (typed("q r"), "makes no server's address"),
        (typed("q", password="geheim\nX: y"), "no HTTP header can carry"),
        (typed(path="https://geheim@q"), "a URL in extra 'path'"),
        (typed("q", prefer_grpc=True, verify=False), "which gRPC cannot do"),
    ],
)
def test_what_is_contradictory_or_secret_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match="'c'") as caught:
        config(fields)
    assert said in str(caught.value)
    assert "geheim" not in str(caught.value)
