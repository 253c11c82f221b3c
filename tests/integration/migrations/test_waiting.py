"""Migrations keep nobody waiting: not by locks, and not by work that has to be done at once."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.migrations.execution import run_part
from code_patterns.migrations.files import Kind, read_migrations
from code_patterns.migrations.runner import apply, verify
from tests.conftest import config_of
from tests.integration.migrations.test_migrations import NEWEST, ORIGINAL, process, rows, until, up, waits


@pytest.fixture
def old_database(empty_database: str) -> str:
    rows(empty_database, ORIGINAL.decode())
    return empty_database


@contextmanager
def writer(dsn: str, statement: str) -> Iterator[list[int]]:
    """Write all the time, and fail where a table is not free for five seconds."""
    written: list[int] = []
    stop, failures = threading.Event(), list[Exception]()

    def work() -> None:
        try:
            with psycopg.connect(dsn, autocommit=True, options="-c lock_timeout=5s") as connection:
                while not stop.wait(0.01):
                    written.append(connection.execute(statement.encode()).rowcount)
        except psycopg.Error as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()
    assert failures == []


@pytest.mark.parametrize("table", ["pattern_lineage_nodes", "pattern_usage_events", "pattern_quality_metrics"])
def test_others_pass_a_migration_that_waits(old_database: str, table: str) -> None:
    """A transaction that stays open holds up the migration, and nobody else behind it."""
    write = {
        "pattern_lineage_nodes": "INSERT INTO pattern_lineage_nodes (pattern_data) VALUES ('{}')",
        "pattern_usage_events": "INSERT INTO pattern_usage_events (pattern_id, success) "
        "SELECT id, true FROM pattern_templates",
        "pattern_quality_metrics": "UPDATE pattern_quality_metrics SET quality_score = 0.5",
    }[table]
    with psycopg.connect(old_database) as reader, writer(old_database, write) as written:
        reader.execute(f"SELECT FROM {table} LIMIT 1".encode())
        with process(old_database, "waiting") as child:
            until(lambda: waits(old_database, "waiting"))
            before = len(written)
            until(lambda: len(written) > before + 50)
            assert child.poll() is None
            reader.rollback()
            output, _ = child.communicate(timeout=120)
            assert f"version={NEWEST}" in output
    assert verify(config_of(old_database)).version == NEWEST
    counted = rows(
        old_database,
        "SELECT usage_count, (SELECT count(*) FROM pattern_usage_events AS event WHERE event.pattern_id = template.id) "
        "FROM pattern_templates AS template",
    )
    if table == "pattern_usage_events":
        assert all(said == true for said, true in counted)


def test_events_before_their_triggers_are_counted(old_database: str) -> None:
    """Events that others write after the counters were filled, and before there are triggers."""
    script = read_migrations()[0].forward
    use = "INSERT INTO pattern_usage_events (pattern_id, success) SELECT id, {} FROM pattern_templates"
    with psycopg.connect(old_database, autocommit=True) as connection:
        for part in script.parts:
            if part.title == "counting usage events":
                rows(old_database, use.format("true"))
                rows(old_database, "DELETE FROM pattern_usage_events WHERE quality_before = 0.5")
            run_part(connection, script, part)
    rows(old_database, use.format("false"))
    # The first template had three events, of which one was deleted.
    assert rows(old_database, "SELECT usage_count FROM pattern_templates ORDER BY id") == [(4,), (2,)]
    assert rows(old_database, "SELECT events, known, successes FROM pattern_template_usage ORDER BY pattern_id") == [
        (4, 4, 3),
        (2, 2, 1),
    ]


def test_a_locked_template_keeps_nobody_from_the_others(empty_database: str) -> None:
    """The texts of templates are made beside a transaction that stays open, and end at what it committed."""
    up(empty_database, 17)
    script = next(migration.forward for migration in read_migrations() if migration.version == 18)
    rows(
        empty_database,
        "INSERT INTO pattern_templates (pattern_name, pattern_type) "
        "SELECT 'n' || number, 'code' FROM generate_series(1, 9) AS number",
    )
    ids = [id_ for (id_,) in rows(empty_database, "SELECT id FROM pattern_templates ORDER BY id")]
    change = "UPDATE pattern_templates SET description = %s WHERE id = %s"
    texts = next(part for part in script.parts if part.title == "the search texts of the templates that exist")
    with (
        ThreadPoolExecutor() as pool,
        psycopg.connect(empty_database, autocommit=True) as connection,
        psycopg.connect(empty_database, options="-c lock_timeout=2s") as open_one,
        psycopg.connect(empty_database, autocommit=True, options="-c lock_timeout=2s") as other,
    ):
        for part in script.parts[: script.parts.index(texts)]:
            run_part(connection, script, part)
        # Nothing of it is in the texts, so that no trigger makes them.
        open_one.execute("UPDATE pattern_templates SET category = 'x' WHERE id = %s", (ids[5],))
        run = pool.submit(run_part, connection, script, texts)
        until(lambda: rows(empty_database, "SELECT count(*) FROM pattern_template_search") == [(len(ids) - 1,)])
        for _ in range(20):
            for number in (0, -1):
                other.execute(change, ("changed by another", ids[number]))
            time.sleep(0.02)
        open_one.execute(change, ("changed beside it", ids[0]))
        assert not run.done()
        open_one.commit()
        run.result(timeout=30)
    assert rows(
        empty_database,
        "SELECT count(*) FILTER (WHERE content <> pattern_search_content(pattern_name, description)), count(content) "
        "FROM pattern_templates LEFT JOIN pattern_template_search ON pattern_id = id",
    ) == [(0, len(ids))]


DUPLICATES = """
INSERT INTO pattern_quality_metrics (id, pattern_id, quality_score, measurement_timestamp)
SELECT
    ('10000000-0000-0000-0000-' || lpad((pattern * 1000 + number)::text, 12, '0'))::uuid,
    ('00000000-0000-0000-0000-' || lpad(pattern::text, 12, '0'))::uuid,
    number / 1000.0,
    '2026-01-01Z'::timestamptz + number * interval '1 second'
FROM generate_series(1, {patterns}) AS pattern, generate_series(1, {copies}) AS number
"""


@pytest.mark.parametrize(("patterns", "copies"), [(6000, 3), (20, 900), (1, 11_001)])
def test_many_duplicates_go_in_pages_and_the_newest_stay(empty_database: str, patterns: int, copies: int) -> None:
    up(empty_database, 13)
    rows(empty_database, DUPLICATES.format(patterns=patterns, copies=copies).replace("* 1000", "* 100000"))
    up(empty_database)
    kept = "SELECT count(*), count(DISTINCT pattern_id), min(quality_score), max(quality_score) FROM {}"
    assert rows(empty_database, kept.format("pattern_quality_metrics")) == [
        (patterns, patterns, copies / 1000, copies / 1000)
    ]


@pytest.mark.remedy(Code.MIGRATION_OBSTRUCTED)
def test_an_interrupted_014_keeps_what_it_did_and_goes_on(empty_database: str) -> None:
    up(empty_database, 13)
    rows(empty_database, DUPLICATES.format(patterns=6000, copies=3))
    # Fails in the third page or later.
    rows(
        empty_database,
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
        CREATE TRIGGER refuse BEFORE DELETE ON pattern_quality_metrics FOR EACH ROW
        WHEN (OLD.pattern_id = '00000000-0000-0000-0000-000000005000') EXECUTE FUNCTION refuse();
        """,
    )
    with pytest.raises(ConfigurationError, match=r"014_.* failed .*not this one.* goes on with it"):
        up(empty_database)
    [(left,)] = rows(empty_database, "SELECT count(*) FROM pattern_quality_metrics")
    assert 6000 < left < 18_000
    assert rows(empty_database, "SELECT state FROM pattern_schema_migrations WHERE version = 14") == [("applying",)]
    rows(empty_database, "DROP TRIGGER refuse ON pattern_quality_metrics")
    assert up(empty_database)[0] == 14
    assert rows(empty_database, "SELECT count(*), min(quality_score) FROM pattern_quality_metrics") == [(6000, 0.003)]
    assert verify(config_of(empty_database)).version == NEWEST
    assert rows(empty_database, "SELECT to_regclass('pattern_quality_metrics_duplicates_idx')") == [(None,)]


def test_a_trigger_that_keeps_duplicates_is_named(empty_database: str) -> None:
    up(empty_database, 13)
    rows(empty_database, DUPLICATES.format(patterns=1, copies=999).replace("1000 +", "100000 +"))
    rows(empty_database, DUPLICATES.format(patterns=1, copies=6000).replace("1000 +", "200000 +"))
    rows(
        empty_database,
        """
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER keep BEFORE DELETE ON pattern_quality_metrics FOR EACH ROW EXECUTE FUNCTION keep();
        """,
    )
    with pytest.raises(ConfigurationError, match=r"Scores of pattern .* cannot be deleted"):
        up(empty_database)


def test_a_column_becomes_required_without_a_look_at_every_row(empty_database: str) -> None:
    rows(
        empty_database,
        "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb);"
        "INSERT INTO pattern_lineage_nodes VALUES (gen_random_uuid(), '{}')",
    )
    script = read_migrations()[0].forward
    heard: list[str] = []
    with psycopg.connect(empty_database, autocommit=True, options="-c client_min_messages=debug1") as connection:
        connection.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
        run_part(connection, script, script.parts[0])
    needed = 'existing constraints on column "pattern_lineage_nodes.pattern_data" are sufficient to prove'
    assert any(message.startswith(needed) for message in heard)


def test_keys_of_tables_with_rows_are_built_beside_their_users(old_database: str) -> None:
    """No statement that takes long runs in a transaction, where its lock would stay."""
    long = {"CREATE INDEX", "VALIDATE CONSTRAINT", "CREATE UNIQUE INDEX"}
    with psycopg.connect(old_database, autocommit=True) as connection:
        for migration in read_migrations():
            for part in migration.forward.parts:
                if part.kind is Kind.STATEMENTS:
                    for word, text in connection.execute(part.sql.encode()).fetchall():
                        touched = [words for words in long if words in text]
                        empty = "pattern_relationships" in text or "NOT VALID" in text
                        assert word != "short" or not touched or empty, text
            apply(config_of(old_database), "up", migration.version, "run")
