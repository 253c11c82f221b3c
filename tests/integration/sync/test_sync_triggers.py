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


# Too large to be stored in the row: 40 kB that compress well, with four digits that hardly matter to their size.
LARGE = """jsonb_build_object('code', (
    SELECT string_agg(format('value_%s = compute(%s)', line % 97, line), E'\\n') FROM generate_series(1, 1500) AS line
) || '{number:0>4}')"""


def large(connection: Connection, number: int) -> None:
    connection.execute(f"UPDATE pattern_lineage_nodes SET pattern_data = {LARGE.format(number=number)}".encode())


def test_a_change_of_a_large_document_is_stamped(row: Connection) -> None:
    large(row, 1)
    found = row.execute(
        "SELECT pg_column_size(pattern_data), pg_column_compression(pattern_data) IS NOT NULL "
        "FROM pattern_lineage_nodes"
    ).fetchone()
    assert found is not None
    assert found[0] > 2_000
    assert found[1]
    before = stamp(row)
    row.execute("UPDATE pattern_lineage_nodes SET usage_count = usage_count + 1")
    row.execute("UPDATE pattern_lineage_nodes SET pattern_data = pattern_data")
    large(row, 1)
    assert stamp(row) == before
    large(row, 2)
    assert stamp(row) != before


@pytest.mark.parametrize("assigned", ["NEW.pattern_data || '{\"a\": 1}'", "jsonb_set(NEW.pattern_data, '{code}', '1')"])
def test_a_large_document_changed_by_a_users_own_trigger_is_stamped(row: Connection, assigned: str) -> None:
    large(row, 1)
    row.execute(
        f"""
        CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.usage_count = 2 THEN NEW.pattern_data := {assigned}; END IF; RETURN NEW; END $$;
        CREATE TRIGGER zebra BEFORE UPDATE ON pattern_lineage_nodes FOR EACH ROW EXECUTE FUNCTION theirs();
        """.encode()
    )
    before = stamp(row)
    row.execute("UPDATE pattern_lineage_nodes SET usage_count = 1")
    assert stamp(row) == before
    row.execute("UPDATE pattern_lineage_nodes SET usage_count = 2")
    assert stamp(row) != before


def test_a_document_of_the_same_stored_size_that_is_not_compressed_is_compared(row: Connection) -> None:
    row.execute("ALTER TABLE pattern_lineage_nodes ALTER pattern_data SET STORAGE EXTERNAL")
    large(row, 1)
    row.execute(
        """
        CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.pattern_data := replace(NEW.pattern_data::text, '0001', '0002')::jsonb; RETURN NEW; END $$;
        CREATE TRIGGER zebra BEFORE UPDATE ON pattern_lineage_nodes FOR EACH ROW EXECUTE FUNCTION theirs();
        """
    )
    before = stamp(row)
    row.execute("UPDATE pattern_lineage_nodes SET usage_count = 1")
    assert stamp(row) != before


def test_a_document_copied_as_it_is_stored_is_compared(row: Connection) -> None:
    """Its size and compression say nothing where it comes from a table with documents of the same size."""
    large(row, 1)
    row.execute(
        f"""
        CREATE TABLE staged AS SELECT {LARGE.format(number=1)} AS pattern_data LIMIT 0;
        INSERT INTO staged SELECT jsonb_set(pattern_data, '{{code}}', to_jsonb(
            regexp_replace(pattern_data ->> 'code', '....$', lpad(number::text, 4, '0'))))
        FROM pattern_lineage_nodes, generate_series(2, 300) AS number;
        DELETE FROM staged USING pattern_lineage_nodes AS node
        WHERE pg_column_size(staged.pattern_data) <> pg_column_size(node.pattern_data);
        """.encode()
    )
    assert row.execute("SELECT count(*) > 0 FROM staged").fetchone() == (True,)
    before = stamp(row)
    row.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = staged.pattern_data "
        "FROM (SELECT pattern_data FROM staged LIMIT 1) AS staged"
    )
    assert stamp(row) != before


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


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE pattern_lineage_nodes SET file_path = 'a.py'", []),
        (f"UPDATE pattern_lineage_nodes SET id = '{OTHER}'", [ID]),
        ("DELETE FROM pattern_lineage_nodes", [ID]),
        ("TRUNCATE pattern_lineage_nodes", [ID]),
    ],
)
def test_changes_that_replication_applies_are_recorded(row: Connection, change: str, expected: list[str]) -> None:
    row.execute("SET session_replication_role = replica")
    row.execute("INSERT INTO pattern_lineage_nodes (id, pattern_data) VALUES (gen_random_uuid(), '{}')")
    assert row.execute("SELECT count(sync_xid) FROM pattern_lineage_nodes").fetchone() == (2,)
    row.execute("DELETE FROM pattern_lineage_nodes WHERE pattern_id IS NULL")
    row.execute("TRUNCATE pattern_sync_tombstones")
    before = stamp(row)
    row.execute(change.encode())
    assert tombstones(row) == expected
    left = row.execute("SELECT count(*) FROM pattern_lineage_nodes WHERE sync_xid = %s", [before[0]]).fetchone()
    assert left == (0,)


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
                        "FOR EACH ROW EXECUTE FUNCTION pattern_sync_record_removed()"
                    )
            assert tombstones(owner) == [ID, ID, OTHER]
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(role)))
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
