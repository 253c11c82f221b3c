"""The logins of ``include/deploy/roles.sql``: what each may not do, and that no table is forgotten."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.runner import apply, plan, verify
from code_patterns.schema import expected_names
from code_patterns.sync.backup import dump_command
from tests.conftest import config_of, embedded_postgres
from tests.support.postgres_programs import programs
from tests.support.roles import MIGRATOR, PASSWORD, READER, ROLES_SQL, SYNC, grant, logged_in, make_roles
from tests.support.two_sides import TwoSides, rows

RIGHTS = """
SELECT grantee || ' ' || table_name || ' ' || string_agg(privilege_type, ',' ORDER BY privilege_type)
FROM information_schema.role_table_grants
WHERE grantee IN ('patterns_sync', 'patterns_reader') AND table_schema = 'public'
GROUP BY grantee, table_name ORDER BY 1
"""


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (SYNC, "UPDATE pattern_lineage_nodes SET pattern_name = 'x'"),
        (SYNC, "DELETE FROM pattern_lineage_nodes"),
        (SYNC, "TRUNCATE pattern_sync_runs"),
        (SYNC, "INSERT INTO pattern_sync_tombstones (node_id) VALUES (gen_random_uuid())"),
        (SYNC, "UPDATE pattern_sync_database SET id = gen_random_uuid()"),
        (SYNC, "UPDATE pattern_schema_migrations SET version = 1"),
        (SYNC, "DELETE FROM pattern_quality_metrics"),
        (SYNC, "UPDATE pattern_learning_traces SET actor = 'x'"),
        (SYNC, "CREATE TABLE mine (id int)"),
        (SYNC, "ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER"),
        (SYNC, "SET session_replication_role = replica"),
        (READER, "DELETE FROM pattern_sync_dead_letters"),
        (READER, "UPDATE pattern_quality_metrics SET quality_score = 1"),
        (READER, "SELECT FROM pattern_learning_traces"),
        (READER, "CREATE TABLE mine (id int)"),
        (MIGRATOR, "CREATE ROLE patterns_other"),
        (MIGRATOR, "CREATE SCHEMA patterns_other"),
    ],
)
def test_a_login_may_not(migrated_database: str, role: str, statement: str) -> None:
    config = logged_in(config_of(migrated_database), role)
    with psycopg.connect(config.conninfo) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_every_table_has_its_rights(migrated_database: str) -> None:
    relations, _ = expected_names()
    with psycopg.connect(migrated_database) as admin:
        there = {name for (name,) in admin.execute("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v')")}
        granted = {line.split()[1] for (line,) in admin.execute(RIGHTS) if line.startswith(SYNC)}
        owners = admin.execute(
            "SELECT relname FROM pg_class WHERE relname = ANY (%s) AND relkind IN ('r', 'p', 'v') "
            "AND pg_get_userbyid(relowner) <> %s",
            (list(relations), MIGRATOR),
        ).fetchall()
    assert there & set(relations) <= granted | {"pattern_schema_migrations"}
    assert owners == []
    listed = set(re.findall(r"'((?:pattern|v)_\w+)'", ROLES_SQL.read_text()))
    assert there & set(relations) <= listed


def test_a_second_time_it_changes_nothing_and_takes_back_what_was_given_by_hand(migrated_database: str) -> None:
    with psycopg.connect(migrated_database, autocommit=True) as admin:
        before = admin.execute(RIGHTS).fetchall()
        admin.execute("GRANT ALL ON pattern_lineage_nodes TO patterns_sync")
        grant(migrated_database)
        assert admin.execute(RIGHTS).fetchall() == before


def test_who_owned_the_tables_keeps_them(empty_database: str) -> None:
    config = config_of(empty_database)
    owner = f"{config.database}_app"
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
        try:
            admin.execute("CREATE TABLE pattern_templates (id uuid)")
            admin.execute(sql.SQL("ALTER TABLE pattern_templates OWNER TO {}").format(sql.Identifier(owner)))
            grant(empty_database)
            row = admin.execute(
                "SELECT pg_get_userbyid(relowner), pg_has_role(%s, relowner, 'USAGE') FROM pg_class "
                "WHERE relname = 'pattern_templates'",
                (MIGRATOR,),
            ).fetchone()
            assert row == (owner, True)
        finally:
            admin.execute("DROP TABLE pattern_templates")
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(owner)))


def test_partitions_belong_to_whoever_may_change_the_table(empty_database: str, postgres_server: str) -> None:
    """One of them in another schema, and one with partitions of its own."""
    make_roles(postgres_server, empty_database)
    owner = f"{config_of(empty_database).database}_app"
    migrator = logged_in(config_of(empty_database), MIGRATOR)
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute(
            "CREATE SCHEMA archive; CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb) "
            "PARTITION BY HASH (id);"
            "CREATE TABLE p0 PARTITION OF pattern_lineage_nodes FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
            "CREATE TABLE archive.p1 PARTITION OF pattern_lineage_nodes FOR VALUES WITH (MODULUS 2, REMAINDER 1) "
            "PARTITION BY HASH (id);"
            "CREATE TABLE archive.p10 PARTITION OF archive.p1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
            "ALTER TABLE pattern_lineage_nodes OWNER TO patterns_migrator"
        )
        admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
        try:
            admin.execute(sql.SQL("ALTER TABLE p0 OWNER TO {}").format(sql.Identifier(owner)))
            with pytest.raises(
                ConfigurationError, match=rf"does not own .*: table archive\.p1 .*, table p0 \(of {owner}\)"
            ):
                plan(migrator, "up", None)
            admin.execute(sql.SQL("GRANT {} TO patterns_migrator").format(sql.Identifier(owner)))
            admin.execute("ALTER TABLE archive.p1 OWNER TO patterns_migrator")
            admin.execute("ALTER TABLE archive.p10 OWNER TO patterns_migrator")
            admin.execute("GRANT USAGE ON SCHEMA archive TO patterns_migrator")
            [obstacle] = plan(migrator, "up", None).obstacles
            assert "GRANT USAGE, CREATE ON SCHEMA archive TO patterns_migrator;" in obstacle
            admin.execute("REASSIGN OWNED BY patterns_migrator TO CURRENT_USER")
            admin.execute(sql.SQL("REVOKE {} FROM patterns_migrator").format(sql.Identifier(owner)))
            grant(empty_database)
            assert apply(migrator, "up", None, run_id="tests").version == verify(migrator).version
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(owner)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(owner)))


def dumped(database: str, server: str, folder: Path) -> Path:
    """Dump a database as `pattern_backup` says, by the login of the sync; return the file."""
    command = dump_command(logged_in(config_of(database), SYNC), "patterns", 1)
    environment = {**os.environ, "PGPASSWORD": PASSWORD, "PATH": f"{programs(server)}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)  # noqa: S602
    assert done.returncode == 0, done.stderr
    return folder / "patterns-1.dump"


def test_the_sync_login_dumps_partitions_and_writes_none(
    empty_database: str, postgres_server: str, tmp_path: Path
) -> None:
    make_roles(postgres_server, empty_database)
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute(
            "CREATE SCHEMA archive; CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb) "
            "PARTITION BY HASH (id);"
            "CREATE TABLE p0 PARTITION OF pattern_lineage_nodes FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
            "CREATE TABLE archive.p1 PARTITION OF pattern_lineage_nodes FOR VALUES WITH (MODULUS 2, REMAINDER 1)"
        )
        grant(empty_database)
        apply(logged_in(config_of(empty_database), MIGRATOR), "up", None, run_id="tests")
        admin.execute("GRANT ALL ON archive.p1 TO patterns_sync")
        grant(empty_database)
        for name in ("p0", "archive.p1"):
            assert admin.execute(
                "SELECT string_agg(privilege_type, ',') FROM pg_class, aclexplode(relacl) "
                "WHERE pg_class.oid = %s::regclass AND grantee = 'patterns_sync'::regrole",
                [name],
            ).fetchone() == ("SELECT",)
    dumped(empty_database, postgres_server, tmp_path)


def test_functions_that_were_taken_from_everybody(empty_database: str, postgres_server: str) -> None:
    make_roles(postgres_server, empty_database)
    apply(logged_in(config_of(empty_database), MIGRATOR), "up", None, run_id="tests")
    called = "SELECT compute_pattern_analytics(now() - interval '1 day', now(), NULL)"
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
    grant(empty_database)
    with psycopg.connect(logged_in(config_of(empty_database), SYNC).conninfo) as connection:
        assert connection.execute(called.encode()).fetchone()
        assert connection.execute("SELECT * FROM pattern_search_similar('retry')").fetchall() == []


@pytest.fixture
def other_server() -> Iterator[str]:
    """A cluster without these logins."""
    with embedded_postgres() as server:
        yield server


def test_an_administrator_need_be_no_superuser(other_server: str, tmp_path: Path) -> None:
    """As on a managed server, where it owns the database and the tables that were there."""
    with psycopg.connect(other_server, autocommit=True) as superuser:
        superuser.execute("CREATE ROLE administrator LOGIN CREATEROLE CREATEDB")
        superuser.execute("CREATE DATABASE patterns OWNER administrator")
    server = make_conninfo(other_server, user="administrator")
    database = make_conninfo(server, dbname="patterns")
    with psycopg.connect(database, autocommit=True) as administrator:
        administrator.execute("CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb)")
        make_roles(server, database)
        apply(logged_in(config_of(database), MIGRATOR), "up", None, run_id="tests")
        grant(database)
        before = administrator.execute(RIGHTS).fetchall()
        grant(database)
        assert administrator.execute(RIGHTS).fetchall() == before
        # What it could do before, it still can.
        administrator.execute("INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES (gen_random_uuid(), '{}')")
        assert administrator.execute(
            "SELECT tableowner, count(*) > 10 FROM pg_tables WHERE schemaname = 'public' GROUP BY tableowner"
        ).fetchall() == [(MIGRATOR, True)]
    dumped(database, server, tmp_path)


def test_a_dump_comes_back_in_a_cluster_that_has_not_had_these_logins(
    migrated_database: str, postgres_server: str, other_server: str, tmp_path: Path
) -> None:
    """By the commands of docs/restore.md, "Another cluster"."""
    file = dumped(migrated_database, postgres_server, tmp_path)
    with psycopg.connect(other_server, autocommit=True) as admin:
        admin.execute("CREATE DATABASE patterns")
    database = make_conninfo(other_server, dbname="patterns")
    grant(database)
    restore = ["pg_restore", "--no-owner", "--exit-on-error", "--jobs=2", f"--dbname={database}", str(file)]
    subprocess.run([f"{programs(other_server)}/{restore[0]}", *restore[1:]], check=True)
    grant(database)
    with psycopg.connect(database) as there, psycopg.connect(migrated_database) as here:
        assert there.execute(RIGHTS).fetchall() == here.execute(RIGHTS).fetchall()


def test_a_schema_whose_name_needs_quotes(empty_database: str, postgres_server: str) -> None:
    make_roles(postgres_server, empty_database)
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute('CREATE SCHEMA "App"; SET search_path = "App"; CREATE TABLE pattern_templates (id uuid)')
        admin.execute("CREATE FUNCTION pattern_search_apart(text) RETURNS text LANGUAGE sql AS 'SELECT $1'")
        admin.execute("COMMENT ON FUNCTION pattern_search_apart(text) IS 'Ours.'")
        admin.execute(ROLES_SQL.read_bytes())
        assert admin.execute(
            """
            SELECT
                pg_get_userbyid(relowner),
                pg_get_userbyid(proowner),
                has_table_privilege('patterns_sync', pg_class.oid, 'INSERT')
            FROM pg_class, pg_proc WHERE relname = 'pattern_templates' AND proname = 'pattern_search_apart'
            """
        ).fetchall() == [(MIGRATOR, MIGRATOR, True)]


def test_runs_are_the_sync_login(sides: TwoSides) -> None:
    assert (sides.as_sync.user, sides.as_reader.user) == (SYNC, READER)
    sides.insert(rows(2))
    assert sides.sync("full").parity == "proven"
