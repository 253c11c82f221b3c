"""Airflow connections become configurations, and can be tested."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.providers_manager import ProvidersManager

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_psycopg import connect_blocking
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns_provider import get_provider_info
from tests.conftest import ROOT, config_of
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.leaks import secret

SECRET = secret("connection")
Define = Callable[..., None]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Define the Airflow connection ``c``."""

    def set_connection(**fields: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps(fields))

    return set_connection


def embedding(**extra: Any) -> dict[str, Any]:
    return {"conn_type": "embedding", "host": "h", "extra": {"api": "ollama", "model": "m", **extra}}


# Any connection


@pytest.mark.parametrize(
    ("hook", "conn_type"),
    [
        (PatternsPostgresHook("nowhere"), "postgres"),
        (PatternsQdrantHook("nowhere"), "qdrant"),
        (EmbeddingHook("nowhere"), "embedding"),
    ],
    ids=["postgres", "qdrant", "embedding"],
)
def test_a_connection_that_is_not_defined(hook: Any, conn_type: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _ = hook.config
    assert "'nowhere' is not defined" in str(caught.value)
    assert f"airflow connections add nowhere --conn-type {conn_type}" in str(caught.value)


@pytest.mark.parametrize("hook", [PatternsPostgresHook, PatternsQdrantHook, EmbeddingHook])
def test_an_extra_that_is_no_json(monkeypatch: pytest.MonkeyPatch, hook: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps({"conn_type": hook.conn_type, "host": "h", "extra": "{oops"}))
    with pytest.raises(ConfigurationError, match="extra of connection 'c'"):
        _ = hook("c").config


@pytest.mark.parametrize("value", ["{", '{"conn_type": "qdrant", "port": "many"}'])
def test_a_connection_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_C", value)
    with pytest.raises(ConfigurationError, match="'c' cannot be read"):
        _ = PatternsQdrantHook("c").config


@pytest.mark.parametrize(
    ("hook", "conn_id"),
    [
        (PatternsPostgresHook(), "patterns_postgres"),
        (PatternsQdrantHook(), "patterns_qdrant"),
        (EmbeddingHook(), "patterns_embeddings"),
    ],
)
def test_default_names(hook: Any, conn_id: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{conn_id}' is not defined"):
        _ = hook.config


# PostgreSQL


def test_postgres_fields_and_libpq_parameters(define: Define) -> None:
    extra = {"sslmode": "require", "keepalives_idle": 30, "options": None, "cursor": "dictcursor", "iam": False}
    extra["sqlalchemy_query"] = {"gssencmode": "disable"}
    define(conn_type="postgres", host="db", login="me", password=SECRET, schema="patterns", port=6543, extra=extra)
    config = PatternsPostgresHook("c").config
    assert config == PostgresConfig(
        "c", "db", "patterns", "me", SECRET, 6543, {"sslmode": "require", "keepalives_idle": 30}
    )
    assert SECRET not in repr(config)


def test_postgres_arguments_of_the_hook_count(define: Define) -> None:
    define(conn_type="postgres", host="db", login="me", schema="patterns")
    config = PatternsPostgresHook("c", database="other", options="-c search_path=x").config
    assert (config.database, config.options, config.port) == ("other", {"options": "-c search_path=x"}, 5432)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"ssl_mode": "require"}, "unknown extra 'ssl_mode'"),
        ({"dbname": "other"}, "extra 'dbname'. Set the field schema"),
        ({"iam": True}, "extra 'iam', which is not supported"),
    ],
)
def test_postgres_extras_that_make_no_sense(define: Define, extra: dict[str, Any], said: str) -> None:
    define(conn_type="postgres", host="db", login="me", schema="patterns", extra=extra)
    with pytest.raises(ConfigurationError, match="'c'") as caught:
        _ = PatternsPostgresHook("c").config
    assert said in str(caught.value)


@pytest.mark.parametrize("missing", ["host", "schema", "login"])
def test_postgres_guesses_nothing(define: Define, missing: str) -> None:
    fields = {"conn_type": "postgres", "host": "db", "login": "me", "schema": "patterns"}
    define(**{name: value for name, value in fields.items() if name != missing})
    with pytest.raises(ConfigurationError, match="'c'"):
        _ = PatternsPostgresHook("c").config


def test_postgres_connects_and_tests(define: Define, empty_database: str) -> None:
    dsn = config_of(empty_database)
    define(
        conn_type="postgres",
        host=dsn.host,
        login=dsn.user,
        password=dsn.password,
        schema=dsn.database,
        port=dsn.port,
        extra={"options": "-c search_path=elsewhere"},
    )
    hook = PatternsPostgresHook("c")
    with connect_blocking(hook.config) as connection:
        row = connection.execute("SELECT current_database(), current_setting('search_path')").fetchone()
    assert row == (dsn.database, "elsewhere")
    assert hook.test_connection()[0]
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


# Qdrant


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"host": "q"}, {"url": "http://q:6333"}),
        ({"host": "q", "port": 7000}, {"url": "http://q:7000"}),
        ({"host": "q", "password": SECRET}, {"url": "https://q:6333", "api_key": SECRET}),
        (
            {"host": "q", "password": SECRET, "extra": {"https": False}},
            {"url": "http://q:6333", "api_key": SECRET},
        ),
        ({"host": "q", "password": SECRET, "schema": "http"}, {"url": "http://q:6333", "api_key": SECRET}),
        ({"host": "q", "password": SECRET, "schema": " HTTPS "}, {"url": "https://q:6333", "api_key": SECRET}),
        ({"host": "q", "extra": {"https": True, "prefix": "/a/b/"}}, {"url": "https://q:6333/a/b"}),
        ({"extra": {"url": "https://cloud.example:6333", "prefix": ""}}, {"url": "https://cloud.example:6333"}),
        ({"host": "http://q"}, {"url": "http://q:6333"}),
        (
            {"host": "q", "extra": {"prefer_gprc": True, "grpc_port": "7334", "timeout": "90"}},
            {"url": "http://q:6333", "prefer_grpc": True, "grpc_port": 7334, "timeout": 90},
        ),
        ({"extra": {"path": "/data/qdrant", "url": None}}, {"path": "/data/qdrant"}),
    ],
)
def test_qdrant_fields(define: Define, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    define(conn_type="qdrant", **fields)
    config = PatternsQdrantHook("c").config
    assert config == QdrantConfig("c", **expected)
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "names neither"),
        ({"host": "q", "extra": {"path": "/data"}}, "names both"),
        ({"host": "q", "extra": {"timeout": 0}}, "'timeout' = 0"),
        ({"host": "q", "extra": {"timeout": -5}}, "'timeout' = -5"),
        ({"host": "q", "extra": {"grpc_port": "abc"}}, "'grpc_port' = 'abc'"),
        ({"host": "q", "extra": {"https": "maybe"}}, "'https' = 'maybe'"),
        ({"host": "q", "extra": {"timout": 5}}, "unknown extra 'timout'. Did you mean 'timeout'?"),
        ({"host": "q r"}, "host and port"),
        # An API key would go over plain HTTP.
        ({"host": "q", "password": SECRET, "schema": "grpc"}, "host, port or schema"),
    ],
)
def test_qdrant_values_that_make_no_sense(define: Define, fields: dict[str, Any], said: str) -> None:
    define(conn_type="qdrant", **fields)
    with pytest.raises(ConfigurationError, match="'c'") as caught:
        _ = PatternsQdrantHook("c").config
    assert said in str(caught.value)


def test_qdrant_embedded_storage_is_tested_and_opened(define: Define, tmp_path: Path) -> None:
    define(conn_type="qdrant", extra={"path": str(tmp_path / "storage")})
    assert PatternsQdrantHook("c").test_connection()[0]
    client = PatternsQdrantHook("c").conn
    assert client.get_collections().collections == []
    client.close()


# Embeddings


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"extra": {"api": "hashing"}}, {"api": "hashing", "model": "hashing-v1"}),
        (
            {"extra": {"api": "hashing", "model": None, "dimension": "96"}},
            {"api": "hashing", "model": "hashing-v1", "dimension": 96},
        ),
        (
            {"host": "o", "extra": {"api": "ollama", "model": "nomic-embed-text"}},
            {"api": "ollama", "model": "nomic-embed-text", "base_url": "http://o:11434"},
        ),
        (
            {"host": "o", "schema": "https", "extra": {"api": "ollama", "model": "m"}},
            {"api": "ollama", "model": "m", "base_url": "https://o"},
        ),
        (
            {"host": "https://o/v1", "password": SECRET, "extra": {"api": "openai", "model": "m", "dimension": 3}},
            {"api": "openai", "model": "m", "base_url": "https://o/v1", "api_key": SECRET, "dimension": 3},
        ),
        (
            {
                "host": "v",
                "port": 8000,
                "extra": {
                    "api": "openai",
                    "model": " m ",
                    "document_prefix": "search_document: ",
                    "query_prefix": "search_query: ",
                    "concurrency": 8,
                    "timeout": "2.5",
                    "max_characters": 6000,
                },
            },
            {
                "api": "openai",
                "model": "m",
                "base_url": "http://v:8000",
                "document_prefix": "search_document: ",
                "query_prefix": "search_query: ",
                "concurrency": 8,
                "timeout": 2.5,
                "max_characters": 6000,
            },
        ),
        (
            {
                "host": f"https://v/openai/deployments/x/embeddings?api_key={SECRET}",
                "extra": {
                    "api": "openai",
                    "model": "m",
                    "proxy": f"http://me:{SECRET}@proxy:3128",
                    "send_dimensions": "true",
                    "encoding_format": "base64",
                },
            },
            {
                "api": "openai",
                "model": "m",
                "base_url": f"https://v/openai/deployments/x/embeddings?api_key={SECRET}",
                "proxy": f"http://me:{SECRET}@proxy:3128",
                "send_dimensions": True,
                "encoding_format": "base64",
            },
        ),
    ],
)
def test_embedding_fields(define: Define, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    define(conn_type="embedding", **fields)
    config = EmbeddingHook("c").config
    assert config == EmbeddingConfig("c", **expected)
    assert SECRET not in repr(config)


def test_embedding_connection_given_as_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_C", "embedding://:key@o:1234/http?api=ollama&model=m&dimension=5")
    expected = EmbeddingConfig("c", "ollama", "m", 5, "http://o:1234", "key")
    assert EmbeddingHook("c").config == expected


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "extra 'api'"),
        (embedding(api="ollma"), "'api' = 'ollma'"),
        (embedding(dimension="abc"), "'dimension' = 'abc'"),
        (embedding(dimension=0), "'dimension' = 0"),
        (embedding(dimension=True), "'dimension' = True"),
        (embedding(timeout=-1), "'timeout' = -1"),
        (embedding(timeout="nan"), "'timeout' = 'nan'"),
        (embedding(concurrency=0), "'concurrency' = 0"),
        (embedding(max_characters=-1), "'max_characters' = -1"),
        (embedding(send_dimensions="perhaps"), "'send_dimensions' = 'perhaps'"),
        (embedding(encoding_format="hex"), "'encoding_format' = 'hex'"),
        (embedding(encoding_format="base64"), "only the api 'openai'"),
        (embedding(dimenson=768), "unknown extra 'dimenson'"),
        (embedding(model=None), "names no model"),
        ({"extra": {"api": "ollama", "model": "m"}}, "names no server"),
        ({"extra": {"api": "openai", "model": "m"}}, "names no server"),
        (embedding() | {"schema": "ftp"}, "host, port or schema"),
        (embedding() | {"host": f"http://me:{SECRET}@h"}, "holds a user or a password"),
        (embedding() | {"password": f"{SECRET}\nX: y"}, "line break"),
    ],
)
def test_embedding_values_that_make_no_sense(define: Define, fields: dict[str, Any], said: str) -> None:
    define(**{"conn_type": "embedding", **fields})
    with pytest.raises(ConfigurationError, match="'c'") as caught:
        _ = EmbeddingHook("c").config
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_embedding_connection_is_really_tested(define: Define, embedding_server: EmbeddingServer) -> None:
    extra = {"api": "openai", "model": "m"}
    define(conn_type="embedding", host=embedding_server.url, password=SECRET, extra=extra)
    embedding_server.api_key = SECRET
    well, message = EmbeddingHook("c").test_connection()
    assert well
    assert "768 dimensions" in message
    embedding_server.api_key = "another"
    well, message = EmbeddingHook("c").test_connection()
    assert not well
    assert "password" in message
    assert SECRET not in message
    define(conn_type="embedding", host=embedding_server.url, extra={**extra, "dimension": "x"})
    assert not EmbeddingHook("c").test_connection()[0]


# What Airflow finds without a packaged provider


def test_airflow_discovers_the_connection_types() -> None:
    manager = ProvidersManager()
    assert manager.providers["airflow-code-patterns"].data["name"] == "Code patterns"
    shown = {meta.connection_type: meta for meta in manager.iter_connection_type_hook_ui_metadata()}
    assert shown["embedding"].hook_class_name == f"{EmbeddingHook.__module__}.{EmbeddingHook.__name__}"
    assert shown["qdrant"].hook_class_name == f"{PatternsQdrantHook.__module__}.{PatternsQdrantHook.__name__}"
    fields = {name for name in manager.connection_form_widgets if "embedding" in name or "qdrant" in name}
    assert {
        "extra__embedding__api",
        "extra__embedding__dimension",
        "extra__qdrant__path",
        "extra__qdrant__url",
    } <= fields


def test_the_form_offers_exactly_what_the_hook_reads(define: Define) -> None:
    [form] = [
        entry["conn-fields"]
        for entry in get_provider_info()["connection-types"]
        if entry["connection-type"] == "embedding"
    ]
    define(conn_type="embedding", host="h", extra={"nonsense": 1})
    with pytest.raises(ConfigurationError) as caught:
        _ = EmbeddingHook("c").config
    assert caught.value.message.rstrip(".").endswith(", ".join(form))
    untouched = {name: field["schema"].get("default") for name, field in form.items()}
    define(conn_type="embedding", extra={**untouched, "api": "hashing"})
    assert EmbeddingHook("c").config == EmbeddingConfig("c", "hashing", "hashing-v1")


def test_airflow_connections_test_works_for_both_types(tmp_path: Path, embedding_server: EmbeddingServer) -> None:
    connections = {
        "AIRFLOW_CONN_E": {
            "conn_type": "embedding",
            "host": embedding_server.url,
            "extra": {"api": "openai", "model": "m"},
        },
        "AIRFLOW_CONN_Q": {"conn_type": "qdrant", "extra": {"path": str(tmp_path / "storage")}},
    }
    environment = {
        **os.environ,
        **{name: json.dumps(fields) for name, fields in connections.items()},
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # Airflow's database has no tables here.
        "AIRFLOW_VAR_PATTERNS_COLLECTION": "code_patterns",
    }
    environment.pop("PYTHONPATH", None)
    # What the command does, twice in one process: importing Airflow takes longer than both.
    commands = """
import sys
from airflow.__main__ import main
for conn_id in ("e", "q"):
    sys.argv = ["airflow", "connections", "test", conn_id]
    main()
"""
    done = subprocess.run(
        [sys.executable, "-c", commands], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Connection success") == 2
    assert embedding_server.requests == 1
