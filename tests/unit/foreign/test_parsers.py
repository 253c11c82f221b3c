"""Every parser of bytes of others: whatever comes, it gives a value or one of this project's own errors.

The suite tries a few inputs; PATTERNS_PROPERTY_CASES=100000 tries so many of each.
"""

import asyncio
import contextlib
import json
import math
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st

from code_patterns.adopt.old_environment import EMBEDDINGS, POSTGRES_PARTS, POSTGRES_URLS, QDRANT, read_old_environment
from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.connection import embedding_config
from code_patterns.embeddings.faults import DoubtError, RefusedRequestError, TemporaryError
from code_patterns.embeddings.http import Dialect, EmbeddingClient
from code_patterns.embeddings.ollama import Ollama
from code_patterns.embeddings.openai import OpenAI
from code_patterns.errors import OutageError, PatternsError
from code_patterns.events.mention import LONGEST_ID, read_mention
from code_patterns.quality.payload import read_payload
from code_patterns.search.query import SearchQuery
from code_patterns.servers.connection_models import ConnectionFields
from code_patterns.servers.postgres_connection import postgres_config
from code_patterns.servers.postgres_url import config_from_url
from code_patterns.servers.qdrant_connection import qdrant_config
from code_patterns.web import access, problems
from code_patterns.web.app import build_app
from code_patterns.web.services import Services
from tests.support.foreign import CASES, examples
from tests.support.leaks import secret

TEXT = st.text(max_size=60) | st.text(st.characters(), max_size=20)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ANY = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
DEEP = st.integers(1, 200_000).map(lambda depth: b"[" * depth + b"]" * depth)
HUGE = st.integers(300, 6_000).map(lambda digits: b'{"embeddings": [[' + b"9" * digits + b", 1.0]]}")


def objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of which some keys are the ones that the parser knows."""
    return st.dictionaries(st.sampled_from(names) | TEXT, ANY, max_size=6)


def encoded(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """JSON as Python writes it, NaN and lone surrogates among it, now and then cut off; and bytes that are no JSON."""
    whole = values.map(lambda value: json.dumps(value).encode())
    cut = st.tuples(whole, st.integers(0, 200)).map(lambda given: given[0][: given[1]])
    return whole | cut | st.binary(max_size=60) | DEEP | HUGE


# Payloads


@given(ANY | objects("code", "text", "metadata", "node_types", "confidence", "use_cases", "examples", "complexity"))
@examples(CASES)
def test_payloads(payload: Any) -> None:
    read = read_payload(payload)
    assert math.isfinite(read.confidence)
    assert isinstance(read.code, str)


# Embedding answers

FAULTS = (DoubtError, RefusedRequestError, TemporaryError)
"""What the layer above makes this project's errors of."""
NUMBERS = st.lists(st.lists(st.floats(width=32) | st.integers() | SCALAR, max_size=3), max_size=2)
OLLAMA = st.fixed_dictionaries({"embeddings": NUMBERS | ANY}) | objects("embeddings", "error")
OPENAI = st.fixed_dictionaries({"data": st.lists(objects("index", "embedding", "object"), max_size=3) | ANY}) | objects(
    "data", "error", "message"
)


@pytest.mark.parametrize(("dialect", "answers"), [(Ollama(), OLLAMA), (OpenAI(), OPENAI)], ids=["ollama", "openai"])
def test_embedding_answers(dialect: Dialect, answers: st.SearchStrategy[Any]) -> None:
    api = "ollama" if isinstance(dialect, Ollama) else "openai"
    config = EmbeddingConfig("c", api, "m", dimension=2, base_url="http://127.0.0.1:1")  # type: ignore[arg-type]
    answer = httpx.Response(200)
    client = EmbeddingClient(config, dialect)
    client._client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))
    with asyncio.Runner() as runner:

        @given(st.sampled_from([200, 200, 200, 400, 401, 404, 429, 500]), encoded(answers))
        @example(200, b'{"embeddings": false}')
        @examples(CASES)
        def tried(status: int, content: bytes) -> None:
            nonlocal answer
            answer = httpx.Response(status, content=content)
            with contextlib.suppress(*FAULTS, PatternsError):
                vectors = runner.run(client.ask(["text"]))
                assert vectors.shape == (1, 2)
                assert np.isfinite(vectors).all()

        tried()


# Kafka messages


@given(
    st.none() | encoded(objects("event_type", "payload", "metadata", "node_id", "pattern_id", "correlation_id")),
    st.none() | st.binary(max_size=40),
    st.sampled_from(["dev.archon-intelligence.pattern.created.v1", "other", ""]),
)
@examples(CASES)
def test_kafka_messages(value: bytes | None, key: bytes | None, topic: str) -> None:
    with contextlib.suppress(PatternsError):
        if mention := read_mention(value, key, topic):
            assert mention.node_id is None or isinstance(mention.node_id, uuid.UUID)
            assert "\0" not in (mention.pattern_id or "")
            assert len(mention.pattern_id or "") <= LONGEST_ID


# REST parameters


@given(objects(*SearchQuery.model_fields))
@example({"\ud800": 1})
@examples(CASES)
def test_search_fields(fields: dict[str, Any]) -> None:
    with contextlib.suppress(PatternsError):
        query = SearchQuery.read(fields)
        assert "\0" not in query.text


def test_rest_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a request says, it is refused as a client's mistake, or told that no server can be reached."""

    def nowhere(_: str) -> Any:
        raise OutageError(Code.QDRANT_AWAY, "There is no server.")

    # Hours of it see a machine stand still for longer than a user would wait.
    monkeypatch.setattr(problems, "LONGEST_SECONDS", 600.0)
    app: FastAPI = build_app()
    services = Services(nowhere, lambda: ["", "team_a"])

    async def made() -> Services:
        return services

    app.state.services = made
    app.dependency_overrides[access.MAY_READ.dependency] = lambda: None
    paths = st.sampled_from(["search", "patterns/x", "patterns/x/similar", "failures", "runs", "status", "quality"])
    known = st.sampled_from(["q", "text", "limit", "offset", "kind", "mode", "language", "min_quality", "target"])
    parameters = st.dictionaries(known | st.text(max_size=10), st.text(max_size=20), max_size=4)

    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t")

        @given(paths, parameters.filter(is_utf8), encoded(objects("q", "text", "mode", "limit")))
        @examples(max(10, CASES // 4))
        def tried(path: str, query: dict[str, str], body: bytes) -> None:
            for answer in (
                runner.run(client.get(f"/api/{path}", params=query)),
                runner.run(client.post("/api/search", content=body)),
            ):
                assert answer.status_code in (400, 404, 413, 422, 503), answer.text
                assert isinstance(orjson.loads(answer.content), dict)

        tried()
        runner.run(client.aclose())


def is_utf8(query: dict[str, str]) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        return bool("".join([*query, *query.values()]).encode() or True)
    return False


# Connections

PASSWORD = secret("foreign")
PIECES = st.lists(
    st.sampled_from([*"://@?&=#%[]; ", "postgresql", "http", "host", "user", "port", "5432", "sslmode", PASSWORD])
    | TEXT,
    max_size=12,
).map("".join)
URLS = PIECES | PIECES.map(lambda rest: f"postgresql://me:{PASSWORD}@{rest}")


@given(URLS)
@example("\ud800")
@example(f"postgresql://me:{PASSWORD}%E9@db/patterns")
@examples(CASES)
def test_database_urls(url: str) -> None:
    refused_without_secret(lambda: config_from_url(url), url)


@pytest.mark.parametrize(
    "read", [postgres_config, qdrant_config, embedding_config], ids=["postgres", "qdrant", "embedding"]
)
def test_connections(read: Callable[[ConnectionFields], object]) -> None:
    names = (
        "api",
        "model",
        "url",
        "path",
        "timeout",
        "collection",
        "sslmode",
        "ca_file",
        "cert_file",
        "proxy",
        "https",
    )
    extras = st.none() | TEXT | objects(*names).map(json.dumps)

    @given(URLS, st.none() | st.integers(), PIECES, TEXT, st.none() | TEXT, extras)
    @examples(CASES)
    def tried(host: str, port: int | None, schema: str, login: str, password: str | None, extra: str | None) -> None:
        fields = ConnectionFields("c", host, port, schema, login, password, extra)
        refused_without_secret(lambda: read(fields), host)

    tried()


def refused_without_secret(read: Callable[[], object], given_text: str) -> None:
    said = ""
    try:
        read()
    except PatternsError as error:
        said = str(error)
    # What stands at the place of a password: "//user:password@".
    assert f":{PASSWORD}@" not in given_text or f":{PASSWORD}" not in said


# .env files

NAMES = [
    *POSTGRES_URLS,
    *(name for group in POSTGRES_PARTS for names in group.values() for name in names),
    *(name for group in (QDRANT, EMBEDDINGS) for names in group.values() for name in names),
]
LINES = st.lists(
    st.tuples(st.sampled_from(NAMES) | TEXT, st.sampled_from(["=", " = ", "='", '="', ": "]), URLS | TEXT).map("".join),
    max_size=10,
)


@given(LINES.map("\n".join).map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=200))
@examples(CASES)
def test_old_environments(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".env") as file:
        Path(file.name).write_bytes(content)
        with contextlib.suppress(PatternsError):
            read_old_environment(Path(file.name))
