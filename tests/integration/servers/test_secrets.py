"""No configuration, refusal or failure shows a password or a key, in whatever field it was typed."""

import asyncio
import json
import logging
import traceback
from typing import Any

import pytest

from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.connection import embedding_config
from code_patterns.errors import ConfigurationError, PatternsError
from code_patterns.servers.connection_models import ConnectionFields
from code_patterns.servers.postgres_connection import postgres_config
from code_patterns.servers.postgres_psycopg import connect_blocking
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_connection import qdrant_config
from code_patterns.servers.retry import RetryPolicy
from tests.support.http_recorder import recording

SECRET = "geheim-0123456789"
HASHED = {"api": "ollama", "model": "m"}


def fields(*, extra: dict[str, Any] | None = None, **given: Any) -> ConnectionFields:
    return ConnectionFields("c", extra=json.dumps(extra or {}), **given)


POSTGRES = {"host": "127.0.0.1", "port": 1, "schema": "patterns", "login": "me", "password": SECRET}
CONFIGS = [
    postgres_config(fields(**POSTGRES, extra={"sslmode": "prefer", "sslpassword": SECRET})),
    qdrant_config(fields(host="h", password=SECRET)),
    embedding_config(fields(host="https://h/v1?key=" + SECRET, password=SECRET, extra=HASHED)),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["postgres", "qdrant", "embedding"])
def test_a_configuration_shows_none(config: Any) -> None:
    for text in (repr(config), str(config), config.address, f"{config}"):
        assert SECRET not in text


def test_the_typed_fields_show_none() -> None:
    assert SECRET not in repr(fields(password=SECRET, extra={"sslpassword": SECRET}))


@pytest.mark.parametrize(
    ("read", "typed"),
    [
        (postgres_config, fields(**POSTGRES | {"host": f"postgresql://me:{SECRET}@h/db"})),
        (postgres_config, fields(**POSTGRES | {"host": f"me:{SECRET}@h"})),
        (postgres_config, fields(**POSTGRES | {"host": f"host=h password={SECRET}"})),
        (postgres_config, fields(**POSTGRES | {"schema": f"postgresql://me:{SECRET}@h/db"})),
        (postgres_config, fields(**POSTGRES | {"login": f"postgresql://me:{SECRET}@h/db"})),
        (postgres_config, fields(**POSTGRES, extra={"password": SECRET})),
        (postgres_config, fields(**POSTGRES, extra={"sslpassword": [SECRET]})),
        (postgres_config, fields(**POSTGRES, extra={"sslkey": SECRET})),
        (postgres_config, fields(**POSTGRES, extra={"pasword": SECRET})),
        (qdrant_config, fields(host=f"https://{SECRET}@h")),
        (qdrant_config, fields(host=f"https://h?api_key={SECRET}")),
        (qdrant_config, fields(extra={"url": f"https://me:{SECRET}@h"})),
        (qdrant_config, fields(extra={"url": [f"https://me:{SECRET}@h"]})),
        (qdrant_config, fields(extra={"path": f"https://{SECRET}@h"})),
        (qdrant_config, fields(host="h", extra={"api_key": SECRET})),
        (qdrant_config, fields(host="h", extra={"timeout": f"https://{SECRET}@h"})),
        (qdrant_config, fields(host="h", password=f"{SECRET}\nX: y")),
        (embedding_config, fields(host=f"https://{SECRET}@h", extra=HASHED)),
        (embedding_config, fields(host=f"https://h:{SECRET}", extra=HASHED)),
        (embedding_config, fields(host="h", password=f"{SECRET}\nX: y", extra=HASHED)),
        (embedding_config, fields(host="h", extra=HASHED | {"token": SECRET})),
    ],
)
def test_a_refusal_shows_none(read: Any, typed: ConnectionFields) -> None:
    with pytest.raises(ConfigurationError, match="'c'") as caught:
        read(typed)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in f"{chain} {chain!r}"
        chain = chain.__context__


async def ask_qdrant(port: int) -> None:
    async with Qdrant.open(
        qdrant_config(fields(host="127.0.0.1", port=port, schema="http", password=SECRET))
    ) as qdrant:
        await qdrant.call("listing the collections", qdrant.client.get_collections, attempts=2)


async def ask_embeddings(port: int) -> None:
    typed = fields(host=f"http://127.0.0.1:{port}/v1?key={SECRET}", password=SECRET, extra=HASHED)
    embedder = open_embedder(embedding_config(typed), retry=RetryPolicy(attempts=2, first_wait=0))
    try:
        await embedder.check()
    finally:
        await embedder.aclose()


@pytest.mark.parametrize("ask", [ask_qdrant, ask_embeddings])
@pytest.mark.parametrize("listening", [True, False])
def test_a_failure_and_the_log_show_none(ask: Any, listening: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with recording() as server:
        server.answer = {"error": f"you sent {SECRET}", "status": f"you sent {SECRET}"}
        with pytest.raises(PatternsError, match="'c'") as caught:
            asyncio.run(ask(server.port if listening else 1))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in "\n".join(f"{record.name} {record.getMessage()}" for record in caplog.records)


def test_a_failed_login_shows_none() -> None:
    with pytest.raises(PatternsError, match="'c'") as caught:
        connect_blocking(CONFIGS[0])
    assert SECRET not in "".join(traceback.format_exception(caught.value))
