"""Migrations on a real server: from every starting state, killed, repeated, edited and taken back."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.migrations.files import read_migrations
from code_patterns.migrations.runner import apply, plan, verify
from code_patterns.migrations.session import LOCK_SPACE
from code_patterns.schema import actual_facts, expected_facts, missing_facts
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sql import MIGRATIONS
from tests.conftest import ROOT, config_of

VERSIONS = [migration.version for migration in read_migrations()]
NEWEST = VERSIONS[-1]
ORIGINAL = (ROOT / "tests" / "support" / "original_tables.sql").read_bytes()


def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def facts(dsn: str) -> frozenset[str]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return actual_facts(connection)


def set_default(dsn: str, setting: str) -> None:
    """Give every new session of the database a setting."""
    rows(dsn, f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting}', current_database()); END $$")


def up(dsn: str, target: int | None = None, run_id: str = "run", folder: Path = MIGRATIONS) -> tuple[int, ...]:
    return apply(config_of(dsn), "up", target, run_id, folder).versions


def down(dsn: str, target: int, folder: Path = MIGRATIONS) -> tuple[int, ...]:
    return apply(config_of(dsn), "down", target, "run", folder).versions


@pytest.fixture
def fresh_facts(migrated_database: str) -> frozenset[str]:
    return facts(migrated_database)


@pytest.fixture
def old_database(empty_database: str) -> str:
    """An installation that never saw a migration."""
    rows(empty_database, ORIGINAL.decode())
    return empty_database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of migrations to be changed by the test; two of them, without an expected schema."""
    (tmp_path / "001_a.sql").write_text(
        "-- 001: a\nCREATE TABLE a (share text DEFAULT '100 %' CHECK (share LIKE '%'));"
    )
    (tmp_path / "001_rollback_a.sql").write_text("-- 001 back\nDROP TABLE a;")
    (tmp_path / "002_b.sql").write_text("-- 002: b\nDO $$ BEGIN RAISE NOTICE 'half of b'; END $$; CREATE TABLE b ();")
    (tmp_path / "002_rollback_b.sql").write_text("-- 002 back\nDROP TABLE b;")
    return tmp_path


# --- up, down, and what the schema is then


def test_the_expected_schema_is_what_the_migrations_make(empty_database: str) -> None:
    """To write the file anew after adding a migration: UPDATE_EXPECTED_SCHEMA=1 pytest <this test>."""
    lines, before = [], frozenset[str]()
    for version in VERSIONS:
        up(empty_database, version)
        after = facts(empty_database)
        lines += [f"-{version:03d} {fact}" for fact in sorted(before - after)]
        lines += [f"+{version:03d} {fact}" for fact in sorted(after - before)]
        before = after
    path = MIGRATIONS / "schema.txt"
    if os.environ.get("UPDATE_EXPECTED_SCHEMA"):
        path.write_text("\n".join(lines) + "\n")
    assert path.read_text().splitlines() == lines


def test_up_down_to_zero_and_up_again(empty_database: str) -> None:
    assert plan(config_of(empty_database), "up", None).version == 0
    assert up(empty_database) == tuple(VERSIONS)
    first = facts(empty_database)
    assert expected_facts(NEWEST).keys() == first
    assert up(empty_database) == ()

    assert down(empty_database, 0) == tuple(reversed(VERSIONS))
    left = rows(
        empty_database, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    assert left == [("pattern_schema_migrations",)]
    assert rows(empty_database, "SELECT * FROM pattern_schema_migrations") == []
    assert not rows(empty_database, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    assert verify(config_of(empty_database)).version == 0

    assert up(empty_database) == tuple(VERSIONS)
    assert facts(empty_database) == first


@pytest.mark.parametrize("version", VERSIONS)
def test_every_step_back_restores_the_schema_before_it(empty_database: str, version: int) -> None:
    before = max((other for other in VERSIONS if other < version), default=0)
    if before:
        up(empty_database, before)
    expected = facts(empty_database)
    up(empty_database, version)
    assert facts(empty_database) != expected
    assert verify(config_of(empty_database)).version == version
    down(empty_database, before)
    assert verify(config_of(empty_database)).version == before
    ledger = {fact for fact in facts(empty_database) if "pattern_schema_migrations" in fact}
    assert facts(empty_database) - (ledger if not before else set()) == expected


def test_every_object_says_what_it_is(migrated_database: str) -> None:
    bare = rows(
        migrated_database,
        """
        SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
            AND (col_description(attrelid, attnum) IS NULL OR obj_description(attrelid, 'pg_class') IS NULL)
        """,
    )
    assert bare == []


def test_the_ledger_says_what_ran(migrated_database: str) -> None:
    entries = rows(
        migrated_database,
        "SELECT version, name, checksum, rollback_checksum, state, run_id FROM pattern_schema_migrations ORDER BY 1",
    )
    assert entries == [
        (m.version, m.forward.name, m.forward.checksum, m.rollback.checksum, "applied", "tests")
        for m in read_migrations()
    ]


# --- tables that exist already


def test_existing_tables_with_data_end_at_the_same_schema(old_database: str, fresh_facts: frozenset[str]) -> None:
    lineage = rows(
        old_database,
        "SELECT id, pattern_id, pattern_data, metadata, created_at, usage_count FROM pattern_lineage_nodes ORDER BY id",
    )
    assert up(old_database) == tuple(VERSIONS)

    assert missing_facts(NEWEST, facts(old_database)) == {}
    assert fresh_facts - facts(old_database) == {"column pattern_templates.complexity_score double precision"}
    # What remains of the user's own.
    assert facts(old_database) - fresh_facts == {
        "column pattern_templates.complexity_score integer",
        "constraint on pattern_analytics: UNIQUE (period_start, period_end, pattern_id)",
        "constraint on pattern_templates: UNIQUE (pattern_name, pattern_type, language)",
        "column pattern_lineage_nodes.last_used_at timestamp with time zone",
        "column pattern_lineage_nodes.usage_count defaults to 0",
        "column pattern_lineage_nodes.usage_count integer",
        "column pattern_templates.language defaults to 'python'",
        "column pattern_templates.template_code is required",
        "column pattern_usage_events.success is required",
        "trigger CREATE TRIGGER old_improvement BEFORE INSERT ON pattern_usage_events "
        "FOR EACH ROW EXECUTE FUNCTION old_improvement()",
        *(fact for fact in facts(old_database) if fact.startswith("function old_improvement()")),
        *(fact for fact in facts(old_database) if "v_top_patterns_of_before" in fact),
        *(fact for fact in facts(old_database) if fact.startswith("function update_pattern_stats_of_before(")),
    }
    assert verify(config_of(old_database)).facts == len(fresh_facts)

    after = rows(
        old_database,
        "SELECT id, pattern_id, pattern_data, metadata, created_at, usage_count FROM pattern_lineage_nodes ORDER BY id",
    )
    assert after == lineage
    assert rows(
        old_database, "SELECT DISTINCT file_path, language, sync_xid, updated_at FROM pattern_lineage_nodes"
    ) == [(None,) * 4]
    assert rows(old_database, "SELECT obj_description('pattern_lineage_nodes'::regclass)") == [("Ours since 2019",)]


def test_existing_data_is_kept_and_only_duplicates_go(old_database: str) -> None:
    up(old_database)
    scores = rows(old_database, "SELECT right(id::text, 1), quality_score FROM pattern_quality_metrics ORDER BY id")
    assert scores == [("2", 0.2), ("4", 0.4), ("7", 0.7), ("9", 0.9), ("a", 0.5), ("c", 0.6)]
    assert rows(old_database, "SELECT right(id::text, 1), total_usage_count FROM pattern_analytics ORDER BY id") == [
        ("2", 2),
        ("3", 3),
    ]
    events = rows(
        old_database, "SELECT quality_before, quality_after, quality_improvement FROM pattern_usage_events ORDER BY id"
    )
    assert events == [(0, 0.5, 0.5), (0.5, 0.25, -0.25), (None, 0.25, None)]
    templates = rows(
        old_database,
        "SELECT confidence_score, complexity_score, tags, context, success_rate FROM pattern_templates ORDER BY id",
    )
    assert templates == [(0.75, 5, ["net", "io"], {"a": 1}, 0.5), (0.5, None, None, None, 0.5)]


def test_going_down_never_loses_a_row_of_the_users(old_database: str) -> None:
    up(old_database)
    rows(old_database, "DELETE FROM pattern_quality_metrics WHERE pattern_id::text LIKE 'f%'")
    counts = """
        SELECT
            (SELECT count(*) FROM pattern_lineage_nodes), (SELECT count(*) FROM pattern_templates),
            (SELECT count(*) FROM pattern_usage_events), (SELECT count(*) FROM pattern_quality_metrics)
    """
    before = rows(old_database, counts)
    down(old_database, 0)
    assert rows(old_database, counts) == before == [(20, 2, 3, 4)]
    # This one was created here and is empty.
    assert rows(old_database, "SELECT to_regclass('pattern_relationships')") == [(None,)]
    up(old_database)
    assert rows(old_database, counts) == before
    assert missing_facts(NEWEST, facts(old_database)) == {}


def test_going_down_keeps_tables_that_were_filled_later(
    migrated_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = facts(migrated_database)
    rows(migrated_database, "INSERT INTO pattern_usage_events (pattern_id) SELECT id FROM pattern_templates")
    rows(migrated_database, "INSERT INTO pattern_templates (pattern_name, pattern_type) VALUES ('kept', 'code')")
    rows(
        migrated_database,
        "INSERT INTO pattern_analytics (period_start, period_end) VALUES (now() - interval '1 h', now())",
    )
    with caplog.at_level(logging.INFO, "code_patterns"):
        down(migrated_database, 0)
    assert "NOTICE: Table pattern_templates stays: it holds rows" in caplog.text
    tables = rows(
        migrated_database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
    )
    assert tables == [("pattern_analytics",), ("pattern_schema_migrations",), ("pattern_templates",)]
    up(migrated_database)
    assert facts(migrated_database) == first
    assert rows(migrated_database, "SELECT pattern_name FROM pattern_templates") == [("kept",)]


def test_a_table_that_others_refer_to_stays(migrated_database: str) -> None:
    rows(
        migrated_database,
        "INSERT INTO pattern_analytics (period_start, period_end) VALUES (now() - interval '1 h', now())",
    )
    down(migrated_database, 0)
    assert rows(migrated_database, "SELECT count(*) FROM pattern_templates") == [(0,)]
    up(migrated_database)


@pytest.mark.parametrize("known", [True, False])
def test_a_half_migrated_database_is_completed(old_database: str, known: bool) -> None:
    """With a ledger, and without one."""
    if known:
        up(old_database, 13)
    else:
        up(old_database, 14)
        rows(old_database, "DROP TABLE pattern_schema_migrations")
    up(old_database)
    assert missing_facts(NEWEST, facts(old_database)) == {}
    assert len(rows(old_database, "SELECT id FROM pattern_quality_metrics")) == 6


def test_older_keys_under_other_names_are_recognised(empty_database: str) -> None:
    rows(
        empty_database,
        """
        CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_id varchar(20), pattern_version text,
            pattern_name text,
            pattern_data jsonb NOT NULL, updated_at timestamptz, CONSTRAINT mine UNIQUE (pattern_id, pattern_version));
        CREATE TABLE pattern_quality_metrics (id uuid PRIMARY KEY, pattern_id uuid, quality_score numeric NOT NULL,
            CONSTRAINT odd_name FOREIGN KEY (pattern_id) REFERENCES pattern_lineage_nodes);
        CREATE UNIQUE INDEX pattern_quality_metrics_pattern_id_unique ON pattern_quality_metrics (pattern_id);
        INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES (gen_random_uuid(), '{"code": "x"}');
        INSERT INTO pattern_quality_metrics SELECT gen_random_uuid(), id, 0.5 FROM pattern_lineage_nodes;
        """,
    )
    up(empty_database)
    assert expected_facts(NEWEST).keys() <= facts(empty_database)
    constraints = "SELECT conname FROM pg_constraint WHERE conrelid = '{}'::regclass AND contype IN ('u', 'f')"
    assert rows(empty_database, constraints.format("pattern_lineage_nodes")) == [("mine",)]
    assert rows(empty_database, constraints.format("pattern_quality_metrics")) == [
        ("pattern_quality_metrics_pattern_id_unique",)
    ]
    types = rows(
        empty_database,
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'pattern_lineage_nodes'::regclass AND attname IN ('pattern_id', 'pattern_name') ORDER BY 1",
    )
    assert types == [("pattern_id", "character varying(20)"), ("pattern_name", "text")]
    # A column that was there before outlives the rollback.
    down(empty_database, 14)
    assert "column pattern_lineage_nodes.updated_at timestamp with time zone" in facts(empty_database)


@pytest.mark.parametrize("kind", ["STORED", "VIRTUAL"])
def test_an_improvement_that_is_generated_already_stays_right(empty_database: str, kind: str) -> None:
    if kind == "VIRTUAL" and rows(empty_database, "SHOW server_version_num") < [("180000",)]:
        pytest.skip("virtual columns came with PostgreSQL 18")
    rows(
        empty_database,
        f"""
        CREATE TABLE pattern_usage_events (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), pattern_id uuid NOT NULL,
            quality_before float8, quality_after float8,
            quality_improvement float8 GENERATED ALWAYS AS (quality_after - quality_before) {kind});
        CREATE TABLE pattern_templates (id uuid PRIMARY KEY, pattern_name text, pattern_type text);
        INSERT INTO pattern_templates VALUES ('20000000-0000-0000-0000-000000000001', 'p', 'code');
        INSERT INTO pattern_usage_events (pattern_id, quality_before, quality_after)
        SELECT id, 0, 1 FROM pattern_templates;
        """,
    )
    up(empty_database)
    rows(
        empty_database,
        "INSERT INTO pattern_usage_events (pattern_id, quality_before, quality_after) "
        "SELECT id, 1, 0.5 FROM pattern_templates",
    )
    improvements = rows(empty_database, "SELECT quality_improvement FROM pattern_usage_events ORDER BY 1")
    assert improvements == [(-0.5,), (1,)]
    assert verify(config_of(empty_database)).version == NEWEST


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (
            "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, created_at timestamp)",
            "created_at has type timestamp without time zone where timestamp with time zone is needed.*AT TIME ZONE",
        ),
        (
            "CREATE TABLE pattern_quality_metrics (id uuid PRIMARY KEY, pattern_id text)",
            "pattern_quality_metrics.pattern_id has type text where uuid is needed.*ALTER TABLE",
        ),
        (
            "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb); "
            "INSERT INTO pattern_lineage_nodes VALUES (gen_random_uuid(), NULL)",
            "1 rows of pattern_lineage_nodes have no pattern_data.*SELECT",
        ),
        (
            "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_id text, pattern_version text, "
            "pattern_data jsonb DEFAULT '{}'); INSERT INTO pattern_lineage_nodes VALUES (gen_random_uuid(), 'p', '1'), "
            "(gen_random_uuid(), 'p', '1')",
            r"1 values of \(pattern_id, pattern_version\) occur several times in pattern_lineage_nodes: .*\(p, 1\)",
        ),
        ("CREATE VIEW pattern_lineage_nodes AS SELECT 1", "pattern_lineage_nodes exists but is not a table"),
        (
            "CREATE SCHEMA legacy; CREATE TABLE legacy.pattern_templates (); "
            "CREATE TABLE public.pattern_lineage_nodes (); DO $$ BEGIN EXECUTE "
            "format('ALTER DATABASE %I SET search_path = public, legacy', current_database()); END $$",
            "pattern_lineage_nodes exists in schema public, but new tables would be created in schema legacy",
        ),
    ],
)
def test_what_cannot_be_adopted_is_named_and_left_alone(empty_database: str, setup: str, message: str) -> None:
    rows(empty_database, setup)
    before = facts(empty_database)
    with pytest.raises(
        ConfigurationError,
        match=f"connection 'patterns_postgres' .* cannot be migrated as it is, and nothing was changed: .*{message}",
    ):
        up(empty_database)
    assert facts(empty_database) == before
    planned = plan(config_of(empty_database), "up", None)
    assert re.search(message, " ".join(planned.obstacles))
    assert "It would be refused:" in planned.summary


def test_partitions_of_a_partition_in_another_schema_are_indexed(empty_database: str) -> None:
    rows(
        empty_database,
        'CREATE SCHEMA "Archive"; CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb) '
        "PARTITION BY HASH (id);"
        "CREATE TABLE here PARTITION OF pattern_lineage_nodes FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        'CREATE TABLE "Archive".there PARTITION OF pattern_lineage_nodes FOR VALUES WITH (MODULUS 2, REMAINDER 1) '
        "PARTITION BY HASH (id);"
        'CREATE TABLE "Archive".below PARTITION OF "Archive".there FOR VALUES WITH (MODULUS 2, REMAINDER 0);'
        'CREATE TABLE back PARTITION OF "Archive".there FOR VALUES WITH (MODULUS 2, REMAINDER 1);',
    )
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST
    indexes = "FROM pg_index WHERE indexrelid::regclass::text ~ 'sync_xid'"
    assert rows(empty_database, f"SELECT count(*), bool_and(indisvalid) {indexes}") == [(5, True)]
    down(empty_database, 15)
    assert rows(empty_database, f"SELECT {indexes}") == []


@pytest.mark.parametrize("templates", [0, 1, 100, 101, 250])
def test_every_template_of_before_is_searchable(empty_database: str, templates: int) -> None:
    """Also one whose id is the least there is, whatever their number makes of the pages."""
    up(empty_database, 17)
    rows(
        empty_database,
        "INSERT INTO pattern_templates (id, pattern_name, pattern_type) "
        "SELECT ('00000000-0000-0000-0000-' || lpad(number::text, 12, '0'))::uuid, 'n' || number, 'code' "
        f"FROM generate_series(0, {templates - 1}) AS number",
    )
    up(empty_database)
    found = rows(empty_database, "SELECT content FROM pattern_template_search ORDER BY pattern_id")
    assert [content.split("\n")[0] for (content,) in found] == [f"n{number}" for number in range(templates)]


def test_a_trigram_index_only_where_the_extension_is(empty_database: str, migrated_database: str) -> None:
    if not rows(empty_database, "SELECT name FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        assert "pattern_template_search_similar_idx" not in str(facts(migrated_database))
        pytest.skip("this server does not have pg_trgm to offer")
    rows(empty_database, "CREATE SCHEMA extensions; CREATE EXTENSION pg_trgm SCHEMA extensions")
    up(empty_database)
    assert "index pattern_template_search_similar_idx" in str(facts(empty_database))
    assert verify(config_of(empty_database)).version == NEWEST
    down(empty_database, 16)
    assert "pattern_template_search_similar_idx" not in str(facts(empty_database))


def test_a_trigram_extension_that_the_login_may_not_use_is_left_alone(empty_database: str, role: str) -> None:
    if not rows(empty_database, "SELECT name FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        pytest.skip("this server does not have pg_trgm to offer")
    rows(empty_database, "CREATE SCHEMA extensions; CREATE EXTENSION pg_trgm SCHEMA extensions")
    give_database(empty_database, role)
    assert "the schema extensions, which this login may not use" in str(plan(as_role(empty_database, role), "up", None))
    apply(as_role(empty_database, role), "up", None, "run")
    assert "pattern_template_search_similar_idx" not in str(facts(empty_database))
    assert verify(as_role(empty_database, role)).version == NEWEST
    give_database(empty_database, "CURRENT_USER")
    rows(empty_database, f"DROP OWNED BY {role} CASCADE")


# --- 013 back


@pytest.mark.remedy(Code.MIGRATION_OBSTRUCTED)
def test_013_does_not_come_back_over_orphans(migrated_database: str) -> None:
    rows(
        migrated_database,
        """
        INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES ('00000000-0000-0000-0000-000000000001', '{}');
        INSERT INTO pattern_quality_metrics (pattern_id, quality_score) VALUES
            ('00000000-0000-0000-0000-000000000001', 1),
            (gen_random_uuid(), 0.1), (gen_random_uuid(), 0.2);
        """,
    )
    down(migrated_database, 13)
    before = facts(migrated_database), rows(migrated_database, "SELECT * FROM pattern_quality_metrics ORDER BY id")
    with pytest.raises(ConfigurationError) as caught:
        down(migrated_database, 1)
    message = str(caught.value)
    assert "cannot be migrated as it is, and nothing was changed" in message
    assert "2 quality scores of 2 patterns have no row in pattern_lineage_nodes" in message
    assert "Record their lineage, or back them up and delete them" in message
    assert before == (
        facts(migrated_database),
        rows(migrated_database, "SELECT * FROM pattern_quality_metrics ORDER BY id"),
    )

    found = re.search(r"SELECT score\..*?;", message)
    assert found is not None
    listing = found.group()
    assert len(rows(migrated_database, listing)) == 2
    rows(
        migrated_database,
        f"DELETE FROM pattern_quality_metrics WHERE id IN ({listing.removesuffix(';').replace('score.*', 'score.id')})",
    )
    assert down(migrated_database, 1) == (13,)
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="pattern_quality_metrics_pattern_id_fkey"):
        rows(
            migrated_database,
            "INSERT INTO pattern_quality_metrics (pattern_id, quality_score) VALUES (gen_random_uuid(), 1)",
        )
    rows(migrated_database, "DELETE FROM pattern_lineage_nodes")
    assert rows(migrated_database, "SELECT id FROM pattern_quality_metrics") == []


# --- killed in the middle, and two at once


@contextmanager
def process(dsn: str, name: str, *, target: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a run in a process of its own; its server process is named after it."""
    code = (
        "import logging, sys\n"
        "from code_patterns.migrations.runner import apply\n"
        "from tests.conftest import config_of\n"
        "from dataclasses import replace\n"
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
        f"config = replace(config_of({dsn!r}), options={{'application_name': {name!r}}})\n"
        f"print(apply(config, 'up', {target!r}, {name!r}))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.05)


def waits(dsn: str, name: str) -> bool:
    """Whether the run is stopped at a lock in the middle of a file."""
    statement = (
        f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock' "
        "AND datname = current_database()"
    )
    return bool(rows(dsn, statement))


def gone(dsn: str, name: str) -> bool:
    return not rows(
        dsn, f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}' AND datname = current_database()"
    )


def kill(child: subprocess.Popen[str]) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


def test_killed_twice_in_001_while_a_second_run_waits(old_database: str) -> None:
    with psycopg.connect(old_database) as reader:
        reader.execute("SELECT FROM pattern_usage_events LIMIT 1")  # holds up 001 after half of its work
        with process(old_database, "first") as first:
            until(lambda: waits(old_database, "first"))
            kill(first)
            until(lambda: gone(old_database, "first"))
        assert rows(old_database, "SELECT version, state FROM pattern_schema_migrations") == [(1, "applying")]
        # Whoever uses the tables meanwhile can.
        rows(
            old_database,
            "INSERT INTO pattern_usage_events (pattern_id, success) SELECT id, true FROM pattern_templates",
        )

        with process(old_database, "second") as second:
            until(lambda: waits(old_database, "second"))
            with process(old_database, "third") as third:
                assert third.stdout is not None
                until(lambda: "Another migration run holds the lock" in third.stdout.readline())
                kill(second)
                until(lambda: waits(old_database, "third"))
                reader.rollback()
                output, _ = third.communicate(timeout=60)
    assert f"versions={tuple(VERSIONS)}" in output
    assert missing_facts(NEWEST, facts(old_database)) == {}
    assert rows(old_database, "SELECT DISTINCT run_id, state FROM pattern_schema_migrations") == [("third", "applied")]


@pytest.mark.remedy(Code.MIGRATION_UNFINISHED)
def test_killed_twice_while_an_index_is_built(migrated_database: str) -> None:
    down(migrated_database, 16)
    complete = facts(migrated_database)
    down(migrated_database, 15)
    with psycopg.connect(migrated_database) as writer:
        # CREATE INDEX CONCURRENTLY waits for older writers, with the index half made.
        writer.execute("INSERT INTO pattern_lineage_nodes (pattern_data) VALUES ('{}')")
        for name in ("first", "second"):
            with process(migrated_database, name) as child:
                until(lambda name=name: waits(migrated_database, name))  # type: ignore[misc]
                kill(child)
                until(lambda name=name: gone(migrated_database, name))  # type: ignore[misc]
            assert rows(
                migrated_database, "SELECT state, run_id FROM pattern_schema_migrations WHERE version = 16"
            ) == [("applying", name)]
            with pytest.raises(ConfigurationError, match=r"died in the middle of 016_pattern_sync_index \(applying\)"):
                verify(config_of(migrated_database))
        writer.commit()
    assert "(invalid)" in str(facts(migrated_database))
    assert plan(config_of(migrated_database), "up", 16).summary.endswith(
        "\n1 to apply:\n  016_pattern_sync_index (repair)"
    )

    assert up(migrated_database, 16) == (16,)
    assert facts(migrated_database) == complete
    assert verify(config_of(migrated_database)).version == 16


def test_two_runs_at_the_same_moment_do_it_once(empty_database: str) -> None:
    with process(empty_database, "one") as one, process(empty_database, "two") as two:
        outputs = [child.communicate(timeout=60)[0] for child in (one, two)]
    assert sorted(text.count(f"versions={tuple(VERSIONS)}") for text in outputs) == [0, 1]
    assert sorted(text.count("versions=()") for text in outputs) == [0, 1]
    assert verify(config_of(empty_database)).version == NEWEST


@pytest.mark.remedy(Code.LOCK_HELD)
def test_a_run_waits_for_another_only_so_long(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext(%s), hashtext(''))", [LOCK_SPACE])
        with pytest.raises(
            OutageError, match=rf"Another migration run holds the lock on .*server process {other.info.backend_pid}"
        ) as raised:
            apply(config_of(empty_database), "up", None, "run", wait_seconds=0)
        holding = rows(empty_database, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
        assert (other.info.backend_pid,) in holding
        [remedy] = re.findall(r"SELECT pg_terminate_backend\(\d+\);", raised.value.message)
        assert rows(empty_database, remedy) == [(True,)]
        until(lambda: not rows(empty_database, f"SELECT FROM pg_locks WHERE pid = {other.info.backend_pid}"))
        assert apply(config_of(empty_database), "up", None, "run", wait_seconds=0).version == NEWEST


# --- what goes wrong


@pytest.mark.remedy(Code.MIGRATION_OBSTRUCTED)
def test_a_failing_file_leaves_nothing_and_the_ones_before_stay(empty_database: str, folder: Path) -> None:
    rows(empty_database, "CREATE VIEW b AS SELECT 1 AS one")
    with pytest.raises(ConfigurationError) as caught:
        up(empty_database, folder=folder)
    assert str(caught.value).startswith("Migration file 002_b.sql failed at connection 'patterns_postgres' (")
    assert 'relation "b" already exists' in str(caught.value)
    assert caught.value.message.endswith(
        "Nothing of this file remains. Done before it in this run: 001. "
        "Remove the cause and run schema_migration again."
    )
    assert rows(empty_database, "SELECT version FROM pattern_schema_migrations") == [(1,)]
    assert rows(empty_database, "SELECT to_regclass('a'), relkind FROM pg_class WHERE relname = 'b'") == [("a", "v")]
    rows(empty_database, "ALTER VIEW b RENAME TO others")
    assert up(empty_database, folder=folder) == (2,)
    assert rows(empty_database, "SELECT one FROM others") == [(1,)]


@pytest.mark.remedy(Code.MIGRATION_UNFINISHED, Code.MIGRATION_OBSTRUCTED)
def test_a_failing_index_is_recorded_and_repaired(empty_database: str, folder: Path) -> None:
    up(empty_database, folder=folder)
    rows(empty_database, "INSERT INTO a VALUES ('twice'), ('twice')")
    (folder / "003_c.sql").write_text("-- 003 (not transactional): c\nCREATE UNIQUE INDEX CONCURRENTLY c ON a (share);")
    (folder / "003_rollback_c.sql").write_text("-- 003 (not transactional): c\nDROP INDEX CONCURRENTLY IF EXISTS c;")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"003_c.sql failed.*is duplicated.*recorded as unfinished"):
            up(empty_database, folder=folder)
    with pytest.raises(ConfigurationError, match="died in the middle of 003_c"):
        verify(config_of(empty_database), folder)
    unfinished = "SELECT version FROM pattern_schema_migrations WHERE state <> 'applied'"
    assert rows(empty_database, unfinished) == [(3,)]
    rows(empty_database, "DELETE FROM a")
    assert up(empty_database, folder=folder) == (3,)
    assert rows(empty_database, unfinished) == []
    assert rows(empty_database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'c'::regclass") == [(True,)]


def test_a_percent_sign_is_a_character_and_notices_reach_the_log(
    empty_database: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "code_patterns"):
        up(empty_database, folder=folder)
    rows(empty_database, "INSERT INTO a DEFAULT VALUES")
    assert rows(empty_database, "SELECT share FROM a") == [("100 %",)]
    assert "NOTICE: half of b" in caplog.text
    assert "Applied 002_b" in caplog.text


@pytest.mark.remedy(Code.MIGRATIONS_EDITED)
def test_an_edited_file_stops_everything(empty_database: str, folder: Path) -> None:
    up(empty_database, folder=folder)
    released = {path: path.read_text() for path in folder.iterdir()}
    shutil.copy(folder / "001_a.sql", folder / "003_c.sql")
    shutil.copy(folder / "001_rollback_a.sql", folder / "003_rollback_c.sql")
    (folder / "001_a.sql").write_text("CREATE TABLE a (share text);")
    (folder / "002_rollback_b.sql").write_text("DROP TABLE b CASCADE;")
    message = "edited since they ran on .*: 001_a, 002_rollback_b. Restore the files"
    config = config_of(empty_database)
    for attempt in (
        lambda: plan(config, "up", None, folder),
        lambda: apply(config, "up", None, "run", folder),
        lambda: apply(config, "down", 0, "run", folder),
        lambda: verify(config, folder),
    ):
        with pytest.raises(ConfigurationError, match=message):
            attempt()
    assert rows(empty_database, "SELECT version FROM pattern_schema_migrations ORDER BY 1") == [(1,), (2,)]
    # The files as they were, which the SHA-256 of the table proves, and the change in a new one.
    for path, text in released.items():
        path.write_text(text)
    checksums = "SELECT checksum, rollback_checksum FROM pattern_schema_migrations ORDER BY version"
    restored = [(each.forward.checksum, each.rollback.checksum) for each in read_migrations(folder)]
    assert rows(empty_database, checksums) == restored[:2]
    (folder / "003_c.sql").write_text("ALTER TABLE a ADD COLUMN new text;")
    (folder / "003_rollback_c.sql").write_text("ALTER TABLE a DROP COLUMN new;")
    assert up(empty_database, folder=folder) == (3,)
    assert rows(empty_database, "SELECT new FROM a") == []


@pytest.mark.remedy(Code.POSTGRES_BUSY)
def test_a_table_in_use_is_not_waited_for_long(
    empty_database: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("code_patterns.migrations.execution.LOCK_PATIENCE_SECONDS", 1)
    up(empty_database, 1, folder=folder)
    (folder / "002_b.sql").write_text("ALTER TABLE a ADD COLUMN b text;")
    with psycopg.connect(empty_database) as reader:
        reader.execute("SELECT FROM a")
        with pytest.raises(OutageError, match=r"002_b.sql failed.*lock timeout.*Another session uses the table"):
            up(empty_database, folder=folder)
    assert up(empty_database, folder=folder) == (2,)


def test_a_lost_lock_is_noticed(empty_database: str, folder: Path) -> None:
    """As behind a pooler, which may put the next statement on another server process."""
    (folder / "001_a.sql").write_text("SELECT pg_advisory_unlock_all();")
    with pytest.raises(ConfigurationError, match="Migrations need a direct connection"):
        up(empty_database, folder=folder)
    assert rows(empty_database, "SELECT version FROM pattern_schema_migrations") == [(1,)]


def test_a_plan_changes_nothing(empty_database: str) -> None:
    before = facts(empty_database)
    what = plan(config_of(empty_database), "up", None)
    assert [step.migration.version for step in what.steps] == VERSIONS
    for migration in read_migrations():
        assert migration.forward.sql in what.sql
    assert facts(empty_database) == before


@pytest.mark.remedy(Code.SCHEMA_DIFFERS)
@pytest.mark.parametrize(
    ("damage", "fact"),
    [
        (
            "ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER zz_pattern_sync_stamp_updated",
            "trigger .*zz_pattern_sync_stamp_updated",
        ),
        ("DROP INDEX pattern_lineage_nodes_sync_xid_idx", "index pattern_lineage_nodes_sync_xid_idx"),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pattern_lineage_nodes_sync_xid_idx'::regclass",
            "index pattern_lineage_nodes_sync_xid_idx",
        ),
        ("DROP TABLE pattern_sync_pruned", "table pattern_sync_pruned"),
        ("DROP VIEW v_top_patterns", "view v_top_patterns"),
        (
            "ALTER TABLE pattern_quality_metrics DROP CONSTRAINT pattern_quality_metrics_pattern_id_unique",
            r"UNIQUE \(pattern_id\)",
        ),
        (
            "CREATE OR REPLACE FUNCTION pattern_sync_stamp() RETURNS trigger LANGUAGE plpgsql "
            "AS 'BEGIN RETURN NEW; END'",
            r"function pattern_sync_stamp\(\)",
        ),
        ("ALTER TABLE pattern_templates DROP COLUMN tags", "pattern_templates.tags"),
    ],
)
def test_damage_to_the_schema_is_found(migrated_database: str, damage: str, fact: str) -> None:
    assert verify(config_of(migrated_database)).facts == len(expected_facts(NEWEST))
    rows(migrated_database, damage)
    with pytest.raises(ConfigurationError, match=f"is not that of version {NEWEST:03d}: .*{fact}.*applies 0.* again"):
        verify(config_of(migrated_database))
    planned = plan(config_of(migrated_database), "up", None)
    assert [step.again for step in planned.steps] == [True]
    assert "(again)" in planned.summary
    before = rows(migrated_database, "SELECT count(*) FROM pattern_schema_migrations")
    up(migrated_database)
    assert verify(config_of(migrated_database)).version == NEWEST
    assert rows(migrated_database, "SELECT count(*) FROM pattern_schema_migrations") == before
    assert up(migrated_database) == ()


# --- other roles


def as_role(dsn: str, role: str) -> PostgresConfig:
    return config_of(make_conninfo(dsn, user=role, password="secret"))


def give_database(dsn: str, owner: str) -> None:
    rows(dsn, f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO {owner}', current_database()); END $$")


def test_the_owner_of_the_database_needs_no_superuser(postgres_server: str, empty_database: str, role: str) -> None:
    give_database(empty_database, role)
    config = as_role(empty_database, role)
    assert apply(config, "up", None, "run").versions == tuple(VERSIONS)
    assert verify(config).version == NEWEST
    assert apply(config, "down", 0, "run").version == 0
    apply(config, "up", None, "run")
    give_database(empty_database, "CURRENT_USER")
    rows(empty_database, f"DROP OWNED BY {role} CASCADE")


@pytest.mark.remedy(Code.NOT_THE_OWNER)
def test_many_objects_of_others_are_listed_in_the_log(
    empty_database: str, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    up(empty_database)
    rows(empty_database, f"GRANT USAGE, CREATE ON SCHEMA public TO {role}")
    with pytest.raises(
        ConfigurationError, match=r"not own .*: \d\d objects, such as .* \d\d statements .*log"
    ) as caught:
        plan(as_role(empty_database, role), "up", None)
    assert len(str(caught.value)) < 1000
    for kind in ("TABLE pattern_lineage_nodes", "VIEW v_top_patterns", "FUNCTION update_pattern_stats(uuid)"):
        assert f'ALTER {kind} OWNER TO "{role}";' in caplog.text.splitlines()
    for statement in re.findall(r"^ALTER .*;$", caplog.text, re.MULTILINE):
        rows(empty_database, statement)
    assert plan(as_role(empty_database, role), "up", None).steps == ()
    assert verify(as_role(empty_database, role)).version == NEWEST
    rows(empty_database, f"DROP OWNED BY {role} CASCADE")


@pytest.mark.remedy(Code.NOT_THE_OWNER)
def test_missing_rights_are_named(old_database: str, role: str) -> None:
    rows(old_database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(
        ConfigurationError, match=rf"Login '{role}' may not create tables in schema public.*GRANT USAGE, CREATE"
    ) as raised:
        plan(as_role(old_database, role), "up", None)
    rows(old_database, raised.value.message.partition("Run as the owner: ")[2])
    message = (
        rf'does not own what .*table pattern_lineage_nodes \(of .*ALTER TABLE pattern_lineage_nodes OWNER TO "{role}"'
    )
    with pytest.raises(ConfigurationError, match=message) as raised:
        apply(as_role(old_database, role), "up", None, "run")
    rows(old_database, raised.value.message.partition("let a superuser run ")[2])
    # A view of others that has to make room is seen only when it is its turn.
    with pytest.raises(
        ConfigurationError, match=r"must be owner of (view v_top_patterns)\. Give login .* that"
    ) as raised:
        apply(as_role(old_database, role), "up", None, "run")
    assert raised.value.code is Code.NOT_THE_OWNER
    rows(old_database, f"ALTER VIEW v_top_patterns OWNER TO {role}")
    assert apply(as_role(old_database, role), "up", None, "run").version == NEWEST
    rows(old_database, f"DROP OWNED BY {role} CASCADE")


def test_a_read_only_default_of_the_database_changes_nothing(empty_database: str) -> None:
    set_default(empty_database, "default_transaction_read_only = on")
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST


@pytest.mark.remedy(Code.SEARCH_PATH_WRONG)
def test_a_search_path_to_nowhere_is_named_until_the_tables_are_found(empty_database: str) -> None:
    set_default(empty_database, "search_path = nowhere")
    with pytest.raises(ConfigurationError, match="No schema of the search_path"):
        up(empty_database)
    set_default(empty_database, "search_path = public")
    up(empty_database)
    for path in ("nowhere", "nowhere, public"):
        set_default(empty_database, f"search_path = {path}")
        up(empty_database)
        rows(empty_database, "CREATE SCHEMA IF NOT EXISTS nowhere")
        assert verify(config_of(empty_database)).version == NEWEST


def test_another_schema_than_public_works(empty_database: str) -> None:
    rows(empty_database, 'CREATE SCHEMA "Our Patterns"')
    set_default(empty_database, 'search_path = "Our Patterns"')
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST
    # The functions find their tables whatever the search_path of the caller.
    rows(
        empty_database,
        "SET search_path = ''; INSERT INTO \"Our Patterns\".pattern_lineage_nodes (pattern_data) VALUES ('{}')",
    )
    rows(empty_database, "SET search_path = ''; DELETE FROM \"Our Patterns\".pattern_lineage_nodes")
    assert len(rows(empty_database, "SELECT node_id FROM pattern_sync_tombstones")) == 1
