"""No environment variable and no setting of role or database changes what a session reads, with either driver."""

import asyncio
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.migrations.runner import apply, plan, verify
from code_patterns.quality.store import ScoreStore
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.postgres import PINNED, PostgresConfig
from code_patterns.servers.postgres_asyncpg import Borrowed, connect_asyncpg, open_pool
from code_patterns.servers.postgres_psycopg import connect, connect_blocking
from tests.conftest import config_of
from tests.support.kept_connections import forget
from tests.support.learning_database import Layer, LearningDatabase
from tests.support.roles import MIGRATOR, grant
from tests.support.two_sides import TwoSides, rows

SHOW = "SELECT name, setting FROM pg_settings WHERE lower(name) = ANY(%s)"

ENVIRONMENT = {
    "PGCLIENTENCODING": "SQL_ASCII",
    "PGHOSTADDR": "192.0.2.1",
    "PGHOST": "nowhere.invalid",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGDATABASE": "template1",
    "PGPASSWORD": "wrong",
    "PGPASSFILE": "/nonexistent",
    "PGSERVICE": "elsewhere",
    "PGSERVICEFILE": "/nonexistent",
    "PGOPTIONS": "-c search_path=pg_catalog -c datestyle=german",
    "PGTZ": "Pacific/Kiritimati",
    "PGDATESTYLE": "German",
    "PGAPPNAME": "other",
    "PGSSLMODE": "verify-full",
    "PGSSLCERT": "/nonexistent",
    "PGSSLROOTCERT": "/nonexistent",
    "PGSSLNEGOTIATION": "direct",
    "PGREQUIREAUTH": "gss",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCONNECT_TIMEOUT": "x",
    "PGLOADBALANCEHOSTS": "x",
    "PGMINPROTOCOLVERSION": "x",
    "PGGEQO": "x",
}

SETTINGS = {
    "timezone": "Pacific/Kiritimati",
    "datestyle": "German",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "quote_all_identifiers": "on",
    "search_path": "pg_catalog",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "row_security": "on",
    "client_encoding": "LATIN1",
    "session_replication_role": "replica",
}


def assert_settled(found: dict[str, str]) -> None:
    expected = dict(PINNED)
    assert {name.lower(): setting for name, setting in found.items()} == expected


def assert_sessions_are_settled(config: PostgresConfig) -> None:
    """With psycopg, blocking or not, with a connection of asyncpg, and with a pool, also after a reset."""
    names = list(PINNED)

    async def with_loop() -> None:
        async with await connect(config) as connection:
            assert_settled(dict(await (await connection.execute(SHOW, [names])).fetchall()))
        opened = await connect_asyncpg(config, {})
        assert_settled(dict(await opened.fetch(SHOW.replace("%s", "$1"), names)))
        await opened.close()
        pool = await open_pool(config, min_size=1, max_size=1, command_timeout=30, settings={})
        for _ in range(2):
            async with Borrowed(pool, 10) as borrowed:
                assert_settled(dict(await borrowed.fetch(SHOW.replace("%s", "$1"), names)))
                assert await borrowed.fetchval("SELECT to_regclass('pattern_lineage_nodes')::text")
                await borrowed.execute("SET timezone = 'Asia/Kolkata'; SET search_path = pg_catalog")
        await pool.close()

    with connect_blocking(config) as connection:
        assert_settled(dict(connection.execute(SHOW, [names]).fetchall()))
    asyncio.run(with_loop())


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_the_environment_changes_nothing(
    sides: TwoSides, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    sides.insert([*rows(3), {**rows(1, start=10)[0], "pattern_data": '{"code": "# 🐍 ü"}'}])
    monkeypatch.setenv(name, ENVIRONMENT[name])
    assert_sessions_are_settled(sides.postgres)
    assert os.environ[name] == ENVIRONMENT[name]
    assert sides.sync("full", settled=False).counts["new"] == 4
    monkeypatch.delenv(name)
    sides.assert_equal_sides()


def test_every_variable_of_libpq_at_once(sides: TwoSides, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    documented = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    # These are no parameters of a connection.
    documented |= {"PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR", "PGLOCALEDIR", "PGREALM"}
    documented |= {"PGREQUIRESSL", "PGSERVICE", "PGREQUIREPEER"}
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in documented | ENVIRONMENT.keys():
        monkeypatch.setenv(name, ENVIRONMENT.get(name, "/nonexistent"))
    assert_sessions_are_settled(sides.postgres)
    assert all(os.environ[name] == value for name, value in ENVIRONMENT.items())


def test_files_at_home_change_nothing(sides: TwoSides, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".pg_service.conf").write_text("[elsewhere]\nhost=nowhere.invalid\noptions=-c search_path=x\n")
    (tmp_path / ".pgpass").write_text("*:*:*:*:wrong\n")
    (tmp_path / ".pgpass").chmod(0o600)
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    assert_sessions_are_settled(sides.postgres)


@pytest.fixture
def role(sides: TwoSides, postgres_server: str) -> Iterator[str]:
    """A superuser of this test's own, whose sessions the settings are for."""
    name = f"{sides.postgres.database}_role"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD 'secret'").format(sql.Identifier(name)))
        yield name
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.mark.parametrize("whose", ["ROLE", "DATABASE"])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_role_and_database_change_nothing(
    sides: TwoSides, postgres_server: str, role: str, name: str, whose: str
) -> None:
    sides.insert(rows(4))
    subject = sql.Identifier(role if whose == "ROLE" else sides.postgres.database)
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER {} {} SET {} = {}").format(
                sql.SQL(whose), subject, sql.Identifier(name), sql.Literal(SETTINGS[name])
            )
        )
    sides.postgres = replace(sides.postgres, user=role, password="secret")
    assert_sessions_are_settled(sides.postgres)
    assert sides.sync("full").counts["new"] == 4
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER {} {} RESET ALL").format(sql.SQL(whose), subject))
    forget(sides.postgres.database)
    sides.assert_equal_sides()
    assert sides.sync("full").counts["unchanged"] == 4


def test_tables_in_another_schema(sides: TwoSides) -> None:
    """The search_path of a database counts where it is the only way to the tables; two ways are refused."""
    database = sql.Identifier(sides.postgres.database)
    with psycopg.connect(sides.postgres.conninfo, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA app")
        admin.execute(sql.SQL("ALTER DATABASE {} SET search_path = app, public").format(database))
    with connect_blocking(sides.postgres) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("public, public",)
    with psycopg.connect(sides.postgres.conninfo, autocommit=True) as admin:
        admin.execute("CREATE TABLE app.pattern_lineage_nodes (LIKE public.pattern_lineage_nodes)")
    with pytest.raises(ConfigurationError, match=r"in schema app .* and in schema public as well.*'options'"):
        connect_blocking(sides.postgres)
    typed = replace(sides.postgres, options={"options": "-c search_path=app"})
    with connect_blocking(typed) as connection:
        assert connection.execute("SELECT to_regclass('app.pattern_lineage_nodes')::text").fetchone() == (
            "pattern_lineage_nodes",
        )
    with psycopg.connect(sides.postgres.conninfo, autocommit=True) as admin:
        admin.execute("DROP TABLE public.pattern_lineage_nodes CASCADE")
        admin.execute("DROP TABLE public.pattern_templates CASCADE")
    with connect_blocking(sides.postgres) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("app, public",)


def test_the_first_of_several_hosts_that_answers_counts(sides: TwoSides) -> None:
    """The sync takes a list, as libpq does; searches and the storage layer go to the same server."""
    several = replace(sides.as_sync, host=f"/nowhere,{sides.as_sync.host}")

    async def ask_both() -> set[str]:
        async with await connect(several) as connection:
            cursor = await connection.execute("SELECT current_database()")
            [(by_psycopg,)] = await cursor.fetchall()
        other = await connect_asyncpg(several, {})
        by_asyncpg = await other.fetchval("SELECT current_database()")
        await other.close()
        return {by_psycopg, by_asyncpg}

    assert asyncio.run(ask_both()) == {several.database}
    with connect_blocking(several) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (several.database,)


# --- why there is no connection


def failures(config: PostgresConfig) -> list[Exception]:
    """What each way of opening raises."""

    async def pool() -> Any:
        await open_pool(config, min_size=1, max_size=1, command_timeout=30, settings={})

    raised: list[Exception] = []
    for attempt in (
        lambda: connect_blocking(config),
        lambda: asyncio.run(connect(config)),
        lambda: asyncio.run(connect_asyncpg(config, {})),
        lambda: asyncio.run(pool()),
    ):
        with pytest.raises((ConfigurationError, OutageError)) as caught:
            attempt()
        raised.append(caught.value)
    return raised


def test_an_outage_is_an_outage_and_a_mistake_a_mistake(
    migrated_database: str, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(migrated_database)
    monkeypatch.setattr("code_patterns.servers.postgres.CONNECT_TIMEOUT_SECONDS", 3)
    monkeypatch.setattr("code_patterns.servers.postgres_asyncpg.CONNECT_TIMEOUT_SECONDS", 3)
    for away in (
        replace(config, host="127.0.0.1", port=1),
        replace(config, host="nowhere.invalid"),
        replace(config, host="/nowhere"),
    ):
        for error in failures(away):
            assert type(error) is OutageError, error
            assert "'patterns_postgres'" in str(error)
    for mistaken in (replace(config, database="no_such_database"), replace(config, user="no_such_role")):
        for error in failures(mistaken):
            assert type(error) is ConfigurationError, error
            assert "'patterns_postgres'" in str(error)


@pytest.mark.parametrize("limit", ["ROLE", "DATABASE"])
def test_a_full_server_is_an_outage(migrated_database: str, postgres_server: str, limit: str) -> None:
    config = config_of(migrated_database)
    role = f"{config.database}_role"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(role)))
        subject = sql.Identifier(role if limit == "ROLE" else config.database)
        admin.execute(sql.SQL("ALTER {} {} CONNECTION LIMIT 0").format(sql.SQL(limit), subject))
    try:
        for error in failures(replace(config, user=role, password="secret")):
            assert type(error) is OutageError, error
            assert "secret" not in str(error)
    finally:
        with psycopg.connect(make_conninfo(postgres_server), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


# --- encodings, and rows that a login may not see


def database_of(postgres_server: str, encoding: str) -> Any:
    name = f"patterns_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'").format(
                sql.Identifier(name), sql.Literal(encoding)
            )
        )
    return name


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_other_encodings(sides: TwoSides, postgres_server: str, encoding: str) -> None:
    name = database_of(postgres_server, encoding)
    try:
        sides.postgres = replace(sides.postgres, database=name)
        apply(sides.postgres, "up", None, run_id="tests")
        grant(sides.postgres.conninfo)
        good, bad = rows(5), rows(2, start=10)
        for row in (good[0], *bad):
            row["pattern_data"] = '{"code": "# Größe"}'
        sides.insert([*good, *bad])
        assert sides.sync("full").counts["new"] == 7
        assert sides.points()[good[0]["id"]]["code"] == "# Größe"
        if encoding == "SQL_ASCII":
            with psycopg.connect(sides.postgres.conninfo, autocommit=True) as connection:
                connection.execute("SET client_encoding = 'SQL_ASCII'")
                connection.execute(
                    b"UPDATE pattern_lineage_nodes SET file_path = 'gr\xfc\xdfe.py' WHERE id = ANY(%s)",
                    [[row["id"] for row in bad]],
                )
            assert sides.sync("full").counts["parked"] == 2
            assert len(sides.points()) == 7
            with connect_blocking(sides.postgres) as connection:
                found = connection.execute("SELECT stage, error FROM pattern_sync_dead_letters").fetchall()
            assert [stage for stage, _ in found] == ["read", "read"]
            assert all("file_path holds bytes that are no UTF-8" in error for _, error in found)
    finally:
        with psycopg.connect(postgres_server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def restricted(config: PostgresConfig, table: str, *, owner: bool = False) -> Iterator[PostgresConfig]:
    """A role that may do everything with the tables, or owns them, and must see only some rows of one."""
    role = sql.Identifier(f"{config.database}_role")
    with psycopg.connect(config.conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(role))
        admin.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(role))
        admin.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(role))
        if owner:
            admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(MIGRATOR), role))
            admin.execute(sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY").format(sql.Identifier(table)))
        admin.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(sql.Identifier(table)))
        admin.execute(sql.SQL("CREATE POLICY few ON {} USING (false)").format(sql.Identifier(table)))
        try:
            yield replace(config, user=f"{config.database}_role", password="secret")
        finally:
            admin.execute(sql.SQL("DROP POLICY few ON {}").format(sql.Identifier(table)))
            admin.execute(sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(sql.Identifier(table)))
            admin.execute(sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY").format(sql.Identifier(table)))
            admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
            admin.execute(sql.SQL("DROP ROLE {}").format(role))


def hidden_rows_of(table: str) -> str:
    return rf"hide rows of {table} from the role '.*_role': row-level security.*ALTER ROLE \".*_role\" BYPASSRLS"


@pytest.mark.remedy(Code.ROWS_HIDDEN)
@pytest.mark.parametrize(
    "table", ["pattern_lineage_nodes", "pattern_sync_tombstones", "pattern_sync_checkpoints", "pattern_sync_runs"]
)
def test_the_sync_does_nothing_with_rows_that_it_may_not_see(sides: TwoSides, table: str) -> None:
    sides.insert(rows(6))
    sides.sync("full")
    sides.insert(rows(2, start=20))
    owner = sides.postgres
    with restricted(owner, table) as sides.postgres:
        with pytest.raises(ConfigurationError, match=hidden_rows_of(table)) as raised:
            sides.sync("full", settled=False)
        assert len(sides.points()) == 6
        with psycopg.connect(owner.conninfo, autocommit=True) as admin:
            assert admin.execute("SELECT relname FROM pg_class WHERE relrowsecurity").fetchall() == [(table,)]
            [remedy] = re.findall(r"ALTER ROLE .*;", raised.value.message)
            admin.execute(remedy.encode())
        assert sides.sync("full", settled=False).counts["new"] == 2
    sides.postgres = owner
    sides.assert_equal_sides()


def test_the_quality_backfill_and_the_migrations_neither(migrated_database: str) -> None:
    owner, run = config_of(migrated_database), RunIdentity(uuid.uuid4(), "dag", "run", 1)

    async def known(config: PostgresConfig) -> None:
        async with ScoreStore.open(config) as store:
            await store.start_run(run, ["code_patterns"])
            await store.known({uuid.uuid4(): "hash"})

    table = "pattern_quality_metrics"
    with restricted(owner, table) as config, pytest.raises(ConfigurationError, match=hidden_rows_of(table)):
        asyncio.run(known(config))
    table = "pattern_quality_runs"
    with restricted(owner, table) as config, pytest.raises(ConfigurationError, match=hidden_rows_of(table)):
        asyncio.run(known(config))
    table = "pattern_schema_migrations"
    with restricted(owner, table) as config, pytest.raises(ConfigurationError, match=hidden_rows_of(table)):
        verify(config)
    # Others than owners may not migrate anyway.
    role = restricted(owner, table, owner=True)
    with role as config, pytest.raises(ConfigurationError, match=hidden_rows_of(table)):
        plan(config, "up", None)


def test_the_storage_layer_neither(learning: LearningDatabase) -> None:
    async def read(layer: Layer) -> str:
        return await layer.refused("get_top")

    with restricted(config_of(learning.dsn), "pattern_templates") as config:
        said = LearningDatabase(config.conninfo).use(read)
    assert "PostgreSQL may hide rows of pattern_templates from the role of this connection: row-level security" in said
    assert "BYPASSRLS" in said
