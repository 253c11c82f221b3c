"""What the triggers on pattern_lineage_nodes record for the sync."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.conftest import config_of

Connection = psycopg.Connection[Any]
ID = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-000000000002"


@pytest.fixture
def database(migrated_database: str) -> Iterator[Connection]:
    """A connection to a migrated database whose lineage table also has a user's own counter."""
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE pattern_lineage_nodes ADD COLUMN usage_count int DEFAULT 0")
        yield connection


@pytest.fixture
def row(database: Connection) -> Connection:
    """The same with one row."""
    database.execute(
        "INSERT INTO pattern_lineage_nodes (id, pattern_id, pattern_type, pattern_data) VALUES (%s, 'p', 'code', %s)",
        [ID, '{"code": "x = 1"}'],
    )
    return database


def stamp(connection: Connection) -> tuple[Any, ...]:
    found = connection.execute("SELECT sync_xid, updated_at FROM pattern_lineage_nodes").fetchone()
    assert found is not None
    return found


def tombstones(connection: Connection) -> list[str]:
    return [str(row[0]) for row in connection.execute("SELECT node_id FROM pattern_sync_tombstones ORDER BY 1")]


def test_an_insert_is_stamped_whatever_it_brings_along(database: Connection) -> None:
    with database.transaction():
        database.execute(
            "INSERT INTO pattern_lineage_nodes (pattern_data, sync_xid, updated_at) VALUES ('{}', '7', '1999-01-01')"
        )
        expected = database.execute("SELECT pg_current_xact_id(), now()").fetchone()
    assert stamp(database) == expected


def test_copied_rows_are_stamped(database: Connection) -> None:
    with database.cursor() as cursor, cursor.copy("COPY pattern_lineage_nodes (pattern_data) FROM STDIN") as copy:
        copy.write("{}\n{}\n{}\n")
    found = database.execute("SELECT count(*), count(DISTINCT sync_xid), count(updated_at) FROM pattern_lineage_nodes")
    assert found.fetchone() == (3, 1, 3)


@pytest.mark.parametrize(
    "change",
    [
        "pattern_id = 'other'",
        "pattern_name = 'other'",
        "pattern_type = 'config'",
        "pattern_version = '2'",
        """pattern_data = '{"code": "x = 2"}'""",
        """pattern_data = '"text"'""",
        "metadata = '{\"a\": 1}'",
        "metadata = NULL",
        "created_at = '2020-01-01'",
        "file_path = 'a.py'",
        "language = 'python'",
        f"id = '{OTHER}'",
        "usage_count = 1, file_path = 'a.py'",
        "sync_xid = NULL",
        "sync_xid = '7'",
    ],
)
def test_a_change_of_what_the_sync_reads_is_stamped(row: Connection, change: str) -> None:
    with row.transaction():
        row.execute(f"UPDATE pattern_lineage_nodes SET {change}".encode())
        expected = row.execute("SELECT pg_current_xact_id(), now()").fetchone()
    assert stamp(row) == expected


@pytest.mark.parametrize(
    "change",
    [
        "usage_count = usage_count + 1",
        "source_user = 'me'",
        "tool_name = 'x', generation = 2",
        "pattern_id = pattern_id",
        """pattern_data = '{ "code" : "x = 1" }'""",
        "metadata = '{}'",
    ],
)
def test_other_changes_leave_no_trace(row: Connection, change: str) -> None:
    before = stamp(row)
    row.execute(f"UPDATE pattern_lineage_nodes SET {change}".encode())
    assert stamp(row) == before


def test_an_upsert_of_the_same_content_leaves_no_trace(row: Connection) -> None:
    before = stamp(row)
    upsert = (
        "INSERT INTO pattern_lineage_nodes (pattern_id, pattern_data, usage_count) VALUES ('p', %s, 1) "
        "ON CONFLICT (pattern_id, pattern_version) DO UPDATE SET pattern_data = excluded.pattern_data, usage_count = 5"
    )
    row.execute(upsert, ['{"code": "x = 1"}'])
    assert stamp(row) == before
    row.execute(upsert, ['{"code": "x = 2"}'])
    assert stamp(row) != before


def test_what_a_users_own_trigger_makes_of_the_row_counts(row: Connection) -> None:
    row.execute(
        """
        CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.file_path := 'count/' || NEW.usage_count; RETURN NEW; END $$;
        CREATE TRIGGER zebra BEFORE UPDATE ON pattern_lineage_nodes FOR EACH ROW EXECUTE FUNCTION theirs();
        """
    )
    before = stamp(row)
    row.execute("UPDATE pattern_lineage_nodes SET usage_count = 3")
    assert stamp(row) != before
    after = stamp(row)
    row.execute("UPDATE pattern_lineage_nodes SET tool_name = 'x'")
    assert stamp(row) == after


def test_rows_that_leave_get_a_tombstone(row: Connection) -> None:
    with row.transaction():
        row.execute(
            "INSERT INTO pattern_lineage_nodes (id, pattern_type, pattern_data) VALUES (%s, 'config', '{}')", [OTHER]
        )
        row.execute("DELETE FROM pattern_lineage_nodes")
        (now,) = row.execute("SELECT pg_current_xact_id(), now()")
    assert tombstones(row) == [ID, OTHER]
    assert row.execute("SELECT DISTINCT sync_xid, deleted_at FROM pattern_sync_tombstones").fetchall() == [now]


def test_a_new_id_leaves_a_tombstone_for_the_old_one(row: Connection) -> None:
    row.execute("UPDATE pattern_lineage_nodes SET id = %s", [OTHER])
    assert tombstones(row) == [ID]


def test_truncate_leaves_a_tombstone_for_every_row(row: Connection) -> None:
    row.execute("INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES (%s, '{}')", [OTHER])
    row.execute("TRUNCATE pattern_lineage_nodes")
    assert tombstones(row) == [ID, OTHER]


def test_the_same_id_may_go_twice_in_one_transaction(row: Connection) -> None:
    with row.transaction():
        for _ in range(2):
            row.execute("DELETE FROM pattern_lineage_nodes")
            row.execute("INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES (%s, '{}')", [ID])
        row.execute("TRUNCATE pattern_lineage_nodes")
    assert tombstones(row) == [ID]
    row.execute("INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES (%s, '{}')", [ID])
    row.execute("DELETE FROM pattern_lineage_nodes")
    assert tombstones(row) == [ID, ID]


def test_what_is_rolled_back_leaves_no_tombstone(row: Connection) -> None:
    with row.transaction(force_rollback=True):
        row.execute("DELETE FROM pattern_lineage_nodes")
        row.execute("TRUNCATE pattern_lineage_nodes")
    assert tombstones(row) == []


def test_a_writer_needs_no_right_to_the_tables_of_the_sync(migrated_database: str) -> None:
    role = f"writer_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(migrated_database, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(role)))
        owner.execute(sql.SQL("GRANT ALL ON pattern_lineage_nodes TO {}").format(sql.Identifier(role)))
        try:
            config = config_of(make_conninfo(migrated_database, user=role, password="secret"))
            with psycopg.connect(config.conninfo, autocommit=True) as writer:
                # A table of the same name in front must not catch the tombstones.
                writer.execute("CREATE TEMP TABLE pattern_sync_tombstones (node_id uuid)")
                writer.execute("INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES (%s, '{}')", [ID])
                writer.execute("UPDATE pattern_lineage_nodes SET id = %s", [OTHER])
                writer.execute("DELETE FROM pattern_lineage_nodes")
                writer.execute("INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES (%s, '{}')", [ID])
                writer.execute("TRUNCATE pattern_lineage_nodes")
                assert tombstones(writer) == []
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    writer.execute("INSERT INTO public.pattern_sync_tombstones (node_id) VALUES (%s)", [ID])
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    writer.execute(
                        "CREATE TEMP TABLE deleted_ids (id uuid); CREATE TRIGGER t AFTER UPDATE ON deleted_ids "
                        "FOR EACH ROW EXECUTE FUNCTION pattern_sync_record_moved()"
                    )
            assert tombstones(owner) == [ID, ID, OTHER]
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(role)))
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
