"""The runbook's remedies for what goes wrong with PostgreSQL, each followed to its end."""

import asyncio
import logging
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.postgres_cluster import Cluster
from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.migrations.runner import apply, plan, verify
from code_patterns.probes import probe_postgres
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.run_locks import collection_lock
from tests.conftest import config_of, new_database
from tests.integration.search.conftest import find
from tests.support import postgres_proxy
from tests.support.faulty_qdrant import Operation, QdrantServer
from tests.support.fixtures import drop_collections
from tests.support.kept_connections import forget
from tests.support.roles import MIGRATOR, PASSWORD, SYNC, grant, logged_in, make_roles
from tests.support.two_sides import TwoSides, rows


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL cluster that a test may stop, lock up or copy."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder, Cluster.running(Path(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def template(cluster: Cluster) -> str:
    """Name of a migrated, empty database in that cluster, to be copied."""
    with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE patterns_template")
    database = cluster.dsn("patterns_template")
    make_roles(cluster.dsn("postgres"), database)
    apply(logged_in(config_of(database), MIGRATOR), "up", None, run_id="tests")
    grant(database)
    return "patterns_template"


@pytest.fixture
def own(cluster: Cluster, template: str, qdrant: QdrantConfig) -> Iterator[TwoSides]:
    """Both sides, with a database in that cluster."""
    with new_database(cluster.dsn("postgres"), template) as dsn:
        config = config_of(dsn)
        yield TwoSides(config, qdrant, config.database, administrator=config.user)
        if qdrant.url:
            asyncio.run(drop_collections(qdrant, config.database))


def code_of(sides: TwoSides, mode: str = "full") -> Code:
    """Run a sync that must fail; return its code."""
    return failure_of(sides, mode).code


def failure_of(sides: TwoSides, mode: str = "full") -> PatternsError:
    with pytest.raises(PatternsError) as raised:
        sides.sync(mode, settled=False)
    return raised.value


def psql(cluster: Cluster, config: PostgresConfig, command: str) -> subprocess.CompletedProcess[str]:
    """Run psql with the fields of a connection."""
    fields = {"PGHOST": config.host, "PGPORT": str(config.port), "PGUSER": config.user, "PGDATABASE": config.database}
    return subprocess.run(
        [cluster.programs / "psql", "--no-psqlrc", "--command", command],
        env={**os.environ, **fields, "PGPASSWORD": config.password or ""},
        capture_output=True,
        text=True,
        check=False,
    )


def server_log(cluster: Cluster) -> str:
    return (cluster.folder / "server.log").read_text()


def is_ready(cluster: Cluster) -> bool:
    command = [cluster.programs / "pg_isready", "-h", "127.0.0.1", "-p", str(cluster.port)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.remedy(Code.POSTGRES_AWAY)
def test_a_server_that_was_down_is_brought_back(
    own: TwoSides, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    own.insert(rows(20))
    own.sync("full")
    own.insert(rows(3, start=50))
    cluster.stop()
    try:
        assert not is_ready(cluster)
        failed = failure_of(own, "incremental")
        assert (failed.code, failed.retryable) == (Code.POSTGRES_AWAY, True)
        with pytest.raises(OutageError) as searched:
            find(own, rows(1)[0]["pattern_name"], mode="words")
        assert searched.value.code is Code.POSTGRES_AWAY
        with ThreadPoolExecutor(1) as threads, caplog.at_level(logging.INFO):
            waiting = threads.submit(own.sync, settled=False, patience_seconds=120)
            while "Try 2 follows" not in caplog.text:
                assert not waiting.done(), waiting.result()
                time.sleep(0.02)
            cluster.start()
            assert waiting.result(60).counts["new"] == 3
    finally:
        if not is_ready(cluster):
            cluster.start()
    own.assert_equal_sides()


@contextmanager
def rule(cluster: Cluster, line: str) -> Iterator[None]:
    """Put a rule before those of pg_hba.conf, until the block ends."""
    file = cluster.data / "pg_hba.conf"
    rules = file.read_text()
    try:
        file.write_text(f"{line}\n{rules}")
        reload(cluster)
        yield
    finally:
        file.write_text(rules)
        reload(cluster)


def reload(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as admin:
        admin.execute("SELECT pg_reload_conf()")


class TestLoginRefused:
    """Password, rule and database, each corrected where it is wrong."""

    @pytest.fixture(autouse=True)
    def changed(self, own: TwoSides) -> None:
        own.insert(rows(5))
        own.sync("full")
        own.insert(rows(2, start=20))

    def assert_it_works_again(self, sides: TwoSides) -> None:
        assert f"Logged in as '{SYNC}'" in probe_postgres(sides.as_sync)
        assert sides.sync().counts["new"] == 2
        sides.assert_equal_sides()

    @pytest.mark.remedy(Code.POSTGRES_LOGIN_REFUSED)
    def test_by_the_password(self, own: TwoSides, cluster: Cluster) -> None:
        with rule(cluster, f"host all {SYNC} 127.0.0.1/32 scram-sha-256"):
            own.execute(sql.SQL("ALTER ROLE {} PASSWORD 'another'").format(sql.Identifier(SYNC)).as_string())
            try:
                assert code_of(own, "incremental") is Code.POSTGRES_LOGIN_REFUSED
                assert "password authentication failed" in psql(cluster, own.as_sync, "").stderr
                assert f'Connection matched file "{cluster.data}/pg_hba.conf" line 1' in server_log(cluster)
            finally:
                own.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(SYNC), sql.Literal(PASSWORD)).as_string()
                )
            self.assert_it_works_again(own)

    @pytest.mark.remedy(Code.POSTGRES_LOGIN_REFUSED)
    def test_by_a_rule(self, own: TwoSides, cluster: Cluster) -> None:
        with rule(cluster, f"host all {SYNC} 127.0.0.1/32 reject"):
            assert code_of(own, "incremental") is Code.POSTGRES_LOGIN_REFUSED
            assert "pg_hba.conf rejects connection" in psql(cluster, own.as_sync, "").stderr
        self.assert_it_works_again(own)

    @pytest.mark.remedy(Code.POSTGRES_LOGIN_REFUSED)
    def test_by_a_database_that_does_not_exist(self, own: TwoSides, cluster: Cluster) -> None:
        mistaken = replace(own, postgres=replace(own.postgres, database="patterns_of_nobody"))
        assert code_of(mistaken, "incremental") is Code.POSTGRES_LOGIN_REFUSED
        assert "does not exist" in psql(cluster, mistaken.as_sync, "").stderr
        self.assert_it_works_again(own)


@pytest.mark.remedy(Code.POSTGRES_RIGHT_MISSING)
@pytest.mark.parametrize("remedy", ["the right", "roles.sql"])
def test_a_missing_right_is_granted(sides: TwoSides, cluster: Cluster, remedy: str) -> None:
    sides.insert(rows(5))
    sides.sync("full")
    sides.insert(rows(2, start=20))
    sides.execute(f"REVOKE SELECT ON pattern_lineage_nodes FROM {SYNC}")
    failed = failure_of(sides, "incremental")
    assert (failed.code, failed.retryable) == (Code.POSTGRES_RIGHT_MISSING, False)
    assert f"the role '{SYNC}'" in failed.message
    assert "pattern_lineage_nodes" in failed.message
    assert f"{SYNC}=" not in psql(cluster, sides.postgres, r"\dp pattern_lineage_nodes").stdout
    # Others work.
    assert verify(logged_in(sides.postgres, MIGRATOR)).version
    assert find(sides, rows(1)[0]["pattern_name"]).hits
    if remedy == "roles.sql":
        grant(sides.postgres.conninfo)
    else:
        sides.execute(f"GRANT SELECT ON pattern_lineage_nodes TO {SYNC}")
    assert f"{SYNC}=r" in psql(cluster, sides.postgres, r"\dp pattern_lineage_nodes").stdout
    assert sides.sync().counts["new"] == 2
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.SCHEMA_INCOMPLETE)
def test_a_database_that_was_never_migrated_is(sides: TwoSides, empty_database: str) -> None:
    sides.postgres = config_of(empty_database)
    grant(empty_database)
    failed = failure_of(sides)
    assert (failed.code, failed.retryable) == (Code.SCHEMA_INCOMPLETE, False)
    owner = logged_in(sides.postgres, MIGRATOR)
    assert "001_" in plan(owner, "up", None).summary
    apply(owner, "up", None, run_id="run")
    grant(empty_database)
    sides.insert(rows(5))
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.SCHEMA_INCOMPLETE)
def test_a_table_that_somebody_dropped_is_made_again(sides: TwoSides) -> None:
    sides.insert(rows(5))
    sides.sync("full")
    sides.execute("DROP TABLE pattern_sync_checkpoints")
    assert code_of(sides) is Code.SCHEMA_INCOMPLETE
    owner = logged_in(sides.postgres, MIGRATOR)
    assert "(again)" in plan(owner, "up", None).summary
    apply(owner, "up", None, run_id="run")
    # The new table has no rights of the old one.
    grant(sides.postgres.conninfo)
    sides.insert(rows(2, start=20))
    assert sides.sync().counts["new"] == 2
    sides.assert_equal_sides()


@contextmanager
def standby(cluster: Cluster) -> Iterator[Cluster]:
    """A standby of the cluster."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        copy = Cluster(cluster.programs, cluster.folder / "standby", free.getsockname()[1])
    made = ("--checkpoint=fast", "--write-recovery-conf", f"--dbname={cluster.dsn('postgres')}")
    cluster.run("pg_basebackup", f"--pgdata={copy.data}", *made)
    with (copy.data / "postgresql.conf").open("a") as settings:
        settings.write(f"port = {copy.port}\n")
    copy.start()
    try:
        yield copy
    finally:
        copy.stop()


@pytest.mark.remedy(Code.POSTGRES_READ_ONLY)
def test_the_primary_is_named_instead_of_its_standby(own: TwoSides, cluster: Cluster) -> None:
    own.insert(rows(5))
    with standby(cluster) as copy:
        mistaken = replace(own, postgres=replace(own.postgres, port=copy.port))
        assert mistaken.execute("SELECT pg_is_in_recovery()") == [(True,)]
        failed = failure_of(mistaken)
        assert (failed.code, failed.retryable) == (Code.POSTGRES_READ_ONLY, False)
        with pytest.raises(ConfigurationError) as raised:
            plan(mistaken.postgres, "up", None)
        assert raised.value.code is Code.POSTGRES_READ_ONLY
        assert own.execute("SELECT pg_is_in_recovery()") == [(False,)]
        assert own.sync("full").parity == "proven"
    own.assert_equal_sides()


@pytest.mark.remedy(Code.STATEMENT_LIMITED)
def test_a_limit_of_temporary_files_is_taken_back(sides: TwoSides) -> None:
    """Other than time limits, sessions do not start without it: only a superuser may set it."""
    sides.insert(rows(3))
    of_role = f"ALTER ROLE {SYNC} IN DATABASE {sides.postgres.database}"
    sort = "PERFORM md5(a::text) FROM generate_series(1, 200000) AS a ORDER BY 1"
    sides.execute(
        f"CREATE FUNCTION sort() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {sort}; RETURN NULL; END $$;"
        "CREATE TRIGGER sort BEFORE INSERT ON pattern_sync_runs FOR EACH STATEMENT EXECUTE FUNCTION sort()"
    )
    sides.execute(f"{of_role} SET temp_file_limit = '64kB'")
    failed = failure_of(sides)
    assert (failed.code, failed.retryable) == (Code.STATEMENT_LIMITED, False)
    assert "by the setting temp_file_limit" in failed.message
    assert f"set it to -1 for the role '{SYNC}'" in failed.message
    with psycopg.connect(sides.as_sync.conninfo) as session:
        assert session.execute("SHOW temp_file_limit").fetchone() == ("64kB",)
    sides.execute(f"{of_role} SET temp_file_limit = -1")
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()
    sides.execute(f"{of_role} RESET ALL")


@pytest.mark.remedy(Code.POSTGRES_BUSY)
def test_a_server_without_a_free_connection_gets_one(sides: TwoSides) -> None:
    sides.insert(rows(5))
    sides.sync("full")
    sides.insert(rows(2, start=20))
    limit = f"ALTER DATABASE {sides.postgres.database} CONNECTION LIMIT"
    with psycopg.connect(sides.as_sync.conninfo):
        sides.execute(f"{limit} 1")
        failed = failure_of(sides, "incremental")
        assert (failed.code, failed.retryable) == (Code.POSTGRES_BUSY, True)
        used = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s"
        assert sides.execute(used, [SYNC]) == [(1,)]
    sides.execute(f"{limit} -1")
    assert sides.sync().counts["new"] == 2
    sides.assert_equal_sides()


@contextmanager
def copy_elsewhere(cluster: Cluster, config: PostgresConfig, server: str) -> Iterator[PostgresConfig]:
    """Dump a database, and restore it under its name in another cluster.

    :param server: DSN of the other one's maintenance database
    """
    dump = cluster.folder / f"{config.database}.dump"
    cluster.dump(config.database, dump)
    name = sql.Identifier(config.database)
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
    copy = make_conninfo(server, dbname=config.database)
    try:
        restore = [cluster.programs / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={copy}", dump]
        subprocess.run(restore, check=True)
        # Rights of tables come with the dump; those of the database do not.
        grant(copy)
        yield config_of(copy)
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.mark.remedy(Code.POSTGRES_TOO_OLD)
def test_an_old_server_is_upgraded_by_dump_and_restore(
    own: TwoSides, cluster: Cluster, postgres_server: str, migrated_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server here is really too old. So the bound is lifted above the older one of two."""
    with postgres_proxy.before(own.postgres) as proxy:
        old = own.postgres
        own.postgres = replace(old, host="127.0.0.1", port=proxy.port)
        own.insert(rows(5))
        own.sync("full")
        own.insert(rows(2, start=20))
        [(version,)] = own.execute("SHOW server_version")
        least = int(version.partition(".")[0]) + 1
        with psycopg.connect(postgres_server) as newer:
            if newer.info.server_version // 10_000 < least:
                pytest.skip("the server that is named is no newer one")
        monkeypatch.setattr("code_patterns.servers.postgres.LEAST_MAJOR", least)
        failed = failure_of(own, "incremental")
        assert (failed.code, failed.retryable) == (Code.POSTGRES_TOO_OLD, False)
        assert (
            f"is version {version}; version {least} or newer is needed. Upgrade it, with pg_upgrade" in failed.message
        )
        with copy_elsewhere(cluster, old, postgres_server) as proxy.server:
            result = own.sync()
            assert (result.parity, result.counts["new"], result.counts["embedded_texts"]) == ("proven", 2, 2)
            own.assert_equal_sides()


class TestSearchPath:
    """Two schemas, none, and another one than that of the migrations."""

    @pytest.mark.remedy(Code.SEARCH_PATH_WRONG)
    @pytest.mark.parametrize("remedy", ["options", "role"])
    def test_of_two_schemas_one_is_named(self, sides: TwoSides, remedy: str) -> None:
        sides.insert(rows(5))
        database = sides.postgres.database
        sides.execute("CREATE SCHEMA app")
        sides.execute("CREATE TABLE app.pattern_lineage_nodes (LIKE public.pattern_lineage_nodes)")
        sides.execute(f"GRANT USAGE ON SCHEMA app TO {SYNC}")
        sides.execute(f"ALTER DATABASE {database} SET search_path = app, public")
        forget(database)
        failed = failure_of(sides)
        assert (failed.code, failed.retryable) == (Code.SEARCH_PATH_WRONG, False)
        assert sides.execute("SHOW search_path") == [("app, public",)]
        there = "SELECT schemaname FROM pg_tables WHERE tablename = 'pattern_lineage_nodes' ORDER BY 1"
        assert sides.execute(there) == [("app",), ("public",)]
        assert sides.execute("SELECT * FROM pattern_sync_runs") == []
        proposed = re.findall(r"'(-c search_path=\w+)'", failed.message)
        assert proposed == ["-c search_path=app", "-c search_path=public"]
        if remedy == "options":
            sides.postgres = replace(sides.postgres, options={"options": proposed[1]})
        else:
            sides.execute(f"ALTER ROLE {SYNC} IN DATABASE {database} SET search_path = public")
        assert sides.sync("full").parity == "proven"
        sides.execute(f"ALTER DATABASE {database} SET search_path = public")
        forget(database)
        sides.assert_equal_sides()

    @pytest.mark.remedy(Code.SEARCH_PATH_WRONG)
    def test_the_one_that_was_migrated_comes_first(self, empty_database: str) -> None:
        """Two schemas have tables of ours; new ones would not be made beside those that migrations know."""
        owner = config_of(empty_database)
        with psycopg.connect(empty_database, autocommit=True) as admin:
            admin.execute("CREATE SCHEMA ours; CREATE SCHEMA legacy; CREATE TABLE legacy.pattern_templates (id uuid)")
        apply(replace(owner, options={"options": "-c search_path=ours"}), "up", 1, run_id="run")
        mistaken = replace(owner, options={"options": "-c search_path=legacy,ours"})
        with pytest.raises(ConfigurationError) as raised:
            plan(mistaken, "up", None)
        assert raised.value.code is Code.SEARCH_PATH_WRONG
        assert "Put ours first on its search_path." in raised.value.message
        corrected = replace(owner, options={"options": "-c search_path=ours,legacy"})
        apply(corrected, "up", None, run_id="run")
        assert verify(corrected).version

    @pytest.mark.remedy(Code.SEARCH_PATH_WRONG)
    def test_a_schema_that_is_missing_is_created(self, empty_database: str) -> None:
        config = replace(config_of(empty_database), options={"options": "-c search_path=app"})
        with pytest.raises(ConfigurationError, match=r"Create one, or correct the search_path") as raised:
            apply(config, "up", None, run_id="run")
        assert raised.value.code is Code.SEARCH_PATH_WRONG
        with psycopg.connect(empty_database, autocommit=True) as admin:
            admin.execute("CREATE SCHEMA app")
        apply(config, "up", None, run_id="run")
        assert verify(config).version


@pytest.mark.remedy(Code.STATEMENT_REFUSED)
def test_a_trigger_that_refuses_is_removed(own: TwoSides, cluster: Cluster) -> None:
    own.insert(rows(5))
    own.sync("full")
    own.insert(rows(2, start=20))
    own.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not in this house'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON pattern_sync_runs FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    before = own.execute("SELECT * FROM pattern_sync_runs")
    for _ in range(2):
        failed = failure_of(own, "incremental")
        assert (failed.code, failed.retryable) == (Code.STATEMENT_REFUSED, False)
        assert "refused the run: not in this house (PL/pgSQL function refuse() line 1 at RAISE)." in failed.message
    assert "INSERT INTO pattern_sync_runs" in server_log(cluster).partition("ERROR:  not in this house")[2]
    assert own.execute("SELECT * FROM pattern_sync_runs") == before
    own.execute("DROP TRIGGER refuse ON pattern_sync_runs")
    assert own.sync().counts["new"] == 2
    own.assert_equal_sides()


def test_a_session_that_should_be_gone_lets_a_waiting_run_go_on(
    sides: TwoSides, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("code_patterns.servers.locks.POLL_SECONDS", 0.05)
    sides.insert(rows(5))
    sides.sync("full")
    sides.insert(rows(2, start=20))
    [(physical,)] = sides.execute("SELECT collection FROM pattern_sync_checkpoints")
    lock = collection_lock(physical)
    with (
        psycopg.connect(sides.as_sync.conninfo, autocommit=True) as dead,
        ThreadPoolExecutor(1) as threads,
        caplog.at_level(logging.INFO),
    ):
        dead.execute("SELECT pg_advisory_lock(hashtext(%s), hashtext(%s))", [lock.space, lock.key])
        waiting = threads.submit(sides.sync, settled=False)
        while not (named := re.search(r"holds the lock on .*: server process (\d+)", caplog.text)):
            assert not waiting.done()
            time.sleep(0.02)
        assert (dead.info.backend_pid,) in sides.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
        assert sides.execute(f"SELECT pg_terminate_backend({named[1]})") == [(True,)]
        assert waiting.result(60).counts["new"] == 2
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.CLUSTER_EXCHANGED)
@pytest.mark.parametrize("answers", ["the right one", "the copy"])
def test_another_cluster_that_answers_in_mid_run_proves_nothing(
    own: TwoSides,
    cluster: Cluster,
    postgres_server: str,
    migrated_template: str,
    qdrant_server: QdrantServer,
    answers: str,
) -> None:
    own.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    own.insert(rows(5))
    right = own.postgres
    forget(right.database)
    with copy_elsewhere(cluster, right, postgres_server) as copy, postgres_proxy.before(right) as proxy:
        own.postgres = replace(right, host="127.0.0.1", port=proxy.port)
        own.sync("full")
        own.insert(rows(1, start=20))
        identifier = "SELECT system_identifier FROM pg_control_system()"
        before = own.execute(identifier)

        def exchange(operation: Operation, _: int) -> None:
            # The session that holds the lock stays; the one of the proof, which has nothing to do, is ended.
            if operation == "upsert" and proxy.server is right:
                assert own.execute(
                    "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND state = 'idle' AND query = 'COMMIT'"
                ) == [(1,)]
                proxy.server = copy

        qdrant_server.before = exchange
        failed = failure_of(own)
        qdrant_server.before = None
        assert (failed.code, failed.retryable) == (Code.CLUSTER_EXCHANGED, True)
        forget(right.database)
        assert own.execute(identifier) != before
        if answers == "the right one":
            proxy.server = right
            forget(right.database)
            assert own.execute(identifier) == before
            assert own.sync("full").parity == "proven"
        else:
            result = own.sync(settled=False)
            assert (result.kind, result.parity) == ("full", "proven")
        assert len(own.points()) == (6 if answers == "the right one" else 5)
        own.assert_equal_sides()
