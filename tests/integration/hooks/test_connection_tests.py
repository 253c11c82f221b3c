"""What the Test buttons say: what was found, or what is wrong; never the random name that Airflow tests under."""

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.migrations.files import read_migrations
from tests.conftest import config_of
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import QdrantServer
from tests.support.two_sides import TwoSides, rows

CONN_ID = "xk3Vq8Tr"
"""Airflow's form makes up such a name."""
SECRET = "geheim-0123456789"
NEWEST = read_migrations()[-1].version
Define = Callable[..., None]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    def set_connection(**fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))

    return set_connection


def said(hook: Any) -> tuple[bool, str]:
    well, message = hook(CONN_ID).test_connection()
    assert CONN_ID not in message
    assert SECRET not in message
    assert "\n" not in message
    return well, message


def postgres(dsn: str, **changes: Any) -> dict[str, Any]:
    config = config_of(dsn)
    fields = {"host": config.host, "port": config.port, "schema": config.database, "login": config.user}
    return {"conn_type": "postgres", **fields, "password": config.password, **changes}


# PostgreSQL


def test_postgres_tells_which_migration_is_there(define: Define, migrated_database: str) -> None:
    define(**postgres(migrated_database))
    well, message = said(PatternsPostgresHook)
    assert well
    assert f"Logged in as '{config_of(migrated_database).user}' to PostgreSQL " in message
    assert message.endswith(f"The last migration is {NEWEST:03d}.")
    with psycopg.connect(migrated_database) as connection:
        connection.execute("DELETE FROM pattern_schema_migrations WHERE version > 14")
    assert said(PatternsPostgresHook)[1].endswith(f"is 014; the newest is {NEWEST:03d}: run schema_migration.")
    with psycopg.connect(migrated_database) as connection:
        connection.execute("UPDATE pattern_schema_migrations SET state = 'applying' WHERE version = 14")
    assert said(PatternsPostgresHook)[1].endswith("Migration 014 was not finished: run schema_migration.")


def test_postgres_without_migrations(define: Define, empty_database: str) -> None:
    define(**postgres(empty_database))
    well, message = said(PatternsPostgresHook)
    assert well
    assert message.endswith("None of the tables is there yet: no migration has run. Run schema_migration.")
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE pattern_lineage_nodes (id uuid)")
    assert "pattern_lineage_nodes is there, but no migration has run" in said(PatternsPostgresHook)[1]


def test_postgres_that_is_not_there(define: Define) -> None:
    define(conn_type="postgres", host="127.0.0.1", port=1, schema="db", login="me", password=SECRET)
    well, message = said(PatternsPostgresHook)
    assert not well
    assert "this connection (127.0.0.1:1/db)" in message


def test_a_postgres_connection_for_something_else_still_passes(
    define: Define, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATABASE", config_of(empty_database).database)
    define(**postgres(empty_database, schema=None))
    well, message = said(PatternsPostgresHook)
    assert well
    assert (
        "Connection successfully tested. It cannot serve the code patterns: This connection has no database" in message
    )


# Qdrant


def test_qdrant_tells_what_the_patterns_collection_holds(
    sides: TwoSides, define: Define, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sides.qdrant
    extra = {"path": config.path} if config.path else {"url": config.url}
    define(conn_type="qdrant", password=config.api_key, extra=extra)
    monkeypatch.setenv("AIRFLOW_VAR_PATTERNS_COLLECTION", sides.collection)
    well, message = said(PatternsQdrantHook)
    assert well
    assert message.endswith(f"There is no '{sides.collection}' yet: pattern_sync_full makes it.")
    sides.insert(rows(3))
    sides.sync("full")
    well, message = said(PatternsQdrantHook)
    assert well
    assert message.endswith(f"'{sides.collection}' holds 3 points, one vector of 64 dimensions each.")


@pytest.mark.parametrize("kind", ["named", "dot"])
def test_qdrant_with_vectors_that_the_sync_cannot_use(
    sides: TwoSides, define: Define, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from qdrant_client import models

    config = sides.qdrant
    plain = models.VectorParams(size=3, distance=models.Distance.DOT)
    vectors = {"code": plain} if kind == "named" else plain
    sides.with_client(lambda client: client.create_collection(sides.collection, vectors_config=vectors))
    define(
        conn_type="qdrant", password=config.api_key, extra={"path": config.path} if config.path else {"url": config.url}
    )
    monkeypatch.setenv("AIRFLOW_VAR_PATTERNS_COLLECTION", sides.collection)
    well, message = said(PatternsQdrantHook)
    assert not well
    what = "only named vectors" if kind == "named" else "the distance Dot"
    assert f"'{sides.collection}' has {what}; the sync needs one unnamed float32 vector" in message
    monkeypatch.setenv("AIRFLOW_VAR_PATTERNS_COLLECTION", "execution_patterns")
    well, message = said(PatternsQdrantHook)
    assert not well
    assert "The Variable 'patterns_collection' is 'execution_patterns'; it must be" in message


def test_qdrant_server_tells_its_version(define: Define, qdrant_server: QdrantServer) -> None:
    define(conn_type="qdrant", extra={"url": qdrant_server.url})
    well, message = said(PatternsQdrantHook)
    assert well
    assert re.match(r"Reached Qdrant( 1\.\d+\.\d+)? at http", message)
    assert f" at {qdrant_server.url}. Collections: " in message


def test_qdrant_that_is_not_there(define: Define) -> None:
    define(conn_type="qdrant", host="127.0.0.1", port=1, password=SECRET, schema="http")
    well, message = said(PatternsQdrantHook)
    assert not well
    assert "this connection (http://127.0.0.1:1)" in message
    define(conn_type="qdrant")
    well, message = said(PatternsQdrantHook)
    assert not well
    assert message.startswith("This connection must name either a server")


# Embeddings


def test_one_text_is_embedded(define: Define, embedding_server: EmbeddingServer) -> None:
    extra = {"api": "openai", "model": "m"}
    define(conn_type="embedding", host=embedding_server.url, password=SECRET, extra=extra)
    well, message = said(EmbeddingHook)
    assert well
    assert message.startswith("Embedded one text in ")
    assert message.endswith(" ms: model 'm', 768 dimensions.")
    assert embedding_server.requests == 1
    define(conn_type="embedding", host=embedding_server.url, extra={**extra, "dimension": 3})
    well, message = said(EmbeddingHook)
    assert not well
    assert "this connection" in message
    define(conn_type="embedding", extra={"api": "hashing"})
    assert said(EmbeddingHook)[0]


# Servers that do not answer


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("hook", "fields"),
    [
        (PatternsPostgresHook, {"conn_type": "postgres", "schema": "db", "login": "me"}),
        (PatternsQdrantHook, {"conn_type": "qdrant"}),
        (EmbeddingHook, {"conn_type": "embedding", "extra": {"api": "ollama", "model": "m"}}),
    ],
)
@pytest.mark.timeout(25)  # below the ordinary time-outs of 30 and 60 s
def test_nobody_waits_long(hook: Any, fields: dict[str, Any], define: Define) -> None:
    with silent() as port:
        define(host="127.0.0.1", port=port, **fields)
        well, message = said(hook)
    assert not well
    assert "this connection" in message


def test_the_embedded_storage_may_be_in_use(define: Define, tmp_path: Path) -> None:
    from code_patterns.servers.qdrant import open_client

    define(conn_type="qdrant", extra={"path": str(tmp_path / "storage")})

    async def occupied() -> tuple[bool, str]:
        client = await open_client(PatternsQdrantHook(CONN_ID).config)
        try:
            return await asyncio.to_thread(said, PatternsQdrantHook)
        finally:
            await client.close()

    well, message = asyncio.run(occupied())
    assert not well
    assert "in use by another process" in message
