"""A server that is too old is named before anything else is asked: version found, version needed, what to do."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.migrations.runner import plan
from code_patterns.servers.postgres import LEAST_MAJOR, PostgresConfig
from code_patterns.servers.postgres_asyncpg import connect_asyncpg, open_pool
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.retention import prune
from code_patterns.sync.runs import MODES
from code_patterns.sync.sync_settings import RetentionSettings
from tests.support import postgres_proxy
from tests.support.faulty_qdrant import Local, QdrantServer
from tests.support.two_sides import TwoSides, rows


@pytest.fixture(params=["14.23", "13.23", "9.6.24"])
def old(sides: TwoSides, request: pytest.FixtureRequest) -> Iterator[tuple[PostgresConfig, str]]:
    """The connection to an older server, and its version."""
    with postgres_proxy.before(sides.postgres, version=request.param) as proxy:
        yield replace(sides.postgres, host="127.0.0.1", port=proxy.port), request.param


def sentence(config: PostgresConfig, version: str) -> str:
    return (
        f"PostgreSQL at {config.address} is version {version}; version {LEAST_MAJOR} or newer "
        "is needed. Upgrade it, with pg_upgrade or by dump and restore. [PAT-P-011]"
    )


def test_an_old_postgres_is_named_by_every_run(sides: TwoSides, old: tuple[PostgresConfig, str]) -> None:
    sides.insert(rows(3))
    config, version = old
    said = sentence(config, version)
    for mode in MODES:
        with pytest.raises(ConfigurationError) as raised:
            replace(sides, postgres=config).sync(mode, settled=False)
        assert str(raised.value) == said
    with pytest.raises(ConfigurationError) as raised:
        asyncio.run(prune(config, sides.qdrant, RetentionSettings()))
    assert str(raised.value) == said
    with pytest.raises(ConfigurationError) as raised:
        plan(config, "up", None)
    assert str(raised.value) == said
    assert sides.execute("SELECT * FROM pattern_sync_runs") == []


def test_an_old_postgres_is_named_by_the_storage_layer(old: tuple[PostgresConfig, str]) -> None:
    config, version = old

    async def pool() -> Any:
        return await open_pool(config, min_size=1, max_size=1, command_timeout=10, settings={})

    async def connection() -> Any:
        return await connect_asyncpg(config, {})

    for opened in (pool, connection):
        with pytest.raises(ConfigurationError) as raised:
            asyncio.run(opened())
        assert str(raised.value) == sentence(config, version)


def test_an_old_postgres_is_named_by_the_test_button(
    old: tuple[PostgresConfig, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, version = old
    fields = {"host": config.host, "port": config.port, "schema": config.database, "login": config.user}
    monkeypatch.setenv("AIRFLOW_CONN_OLD", json.dumps({"conn_type": "postgres", "password": config.password, **fields}))
    well, said = PatternsPostgresHook("old").test_connection()
    assert not well
    assert f"is version {version}; version {LEAST_MAJOR} or newer is needed." in said


def test_a_setting_that_a_new_enough_server_does_not_know_is_not_blamed_on_its_version(sides: TwoSides) -> None:
    config = replace(sides.postgres, options={"options": "-c no_such_setting=1"})
    with pytest.raises(ConfigurationError, match="no_such_setting"):
        replace(sides, postgres=config).sync("full", settled=False)

    async def connection() -> Any:
        return await connect_asyncpg(config, {})

    with pytest.raises(ConfigurationError, match="no_such_setting"):
        asyncio.run(connection())


@pytest.fixture
def old_qdrant(qdrant_server: QdrantServer) -> QdrantConfig:
    """The connection to a Qdrant of 1.15.5."""
    if not isinstance(qdrant_server.backend, Local):
        pytest.skip("the server that is named has its own version")
    qdrant_server.backend.version = "1.15.5"
    return QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)


@pytest.mark.remedy(Code.QDRANT_TOO_OLD)
def test_an_old_qdrant_is_named_by_every_run(
    sides: TwoSides, old_qdrant: QdrantConfig, qdrant_server: QdrantServer
) -> None:
    sides.insert(rows(3))
    old = replace(sides, qdrant=old_qdrant)
    said = f"Qdrant at {old_qdrant.address} is version 1.15.5; version 1.16 or newer is needed"
    for mode in MODES:
        with pytest.raises(ConfigurationError, match=r"1\.15\.5") as raised:
            old.sync(mode)
        assert str(raised.value).startswith(said)
    with pytest.raises(ConfigurationError) as raised:
        asyncio.run(prune(sides.postgres, old_qdrant, RetentionSettings()))
    assert str(raised.value).startswith(said)
    assert sides.execute("SELECT * FROM pattern_sync_runs") == []
    # Nothing else was asked.
    assert set(qdrant_server.requests) == {"version"}
    assert httpx.get(f"{old_qdrant.url}/").json()["version"] == "1.15.5"
    assert isinstance(qdrant_server.backend, Local)
    qdrant_server.backend.version = "1.16.0"
    assert old.sync("full").parity == "proven"
    old.assert_equal_sides()


def test_an_old_qdrant_is_named_by_the_test_button(old_qdrant: QdrantConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OLD", json.dumps({"conn_type": "qdrant", "extra": {"url": old_qdrant.url}}))
    well, said = PatternsQdrantHook("old").test_connection()
    assert not well
    assert "is version 1.15.5; version 1.16 or newer is needed" in said
