"""The runbook's remedies for what stops migrations, each followed to its end."""

import re
import shutil
from pathlib import Path

import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.migrations.runner import apply, plan, verify
from code_patterns.sql import MIGRATIONS
from tests.conftest import config_of
from tests.integration.migrations.test_migrations import NEWEST, rows, up
from tests.support.roles import MIGRATOR, logged_in
from tests.support.two_sides import TwoSides
from tests.support.two_sides import rows as patterns

LEDGER = "SELECT version FROM pattern_schema_migrations ORDER BY version"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one migration, to be changed by the test."""
    put(tmp_path, "001", "a")
    return tmp_path


def put(folder: Path, number: str, table: str) -> None:
    """Write a migration that makes a table."""
    (folder / f"{number}_{table}.sql").write_text(f"CREATE TABLE {table} ();")
    (folder / f"{number}_rollback_{table}.sql").write_text(f"DROP TABLE {table};")


@pytest.mark.remedy(Code.MIGRATION_FILES_WRONG)
@pytest.mark.parametrize("wrong", ["name", "partner", "statement"])
def test_a_wrong_file_is_corrected(empty_database: str, folder: Path, wrong: str) -> None:
    put(folder, "002", "b")
    forward, back = folder / "002_b.sql", folder / "002_rollback_b.sql"
    if wrong == "name":
        forward.rename(folder / "2-b.sql")
    elif wrong == "partner":
        back.unlink()
    else:
        forward.write_text("BEGIN; CREATE TABLE b (); COMMIT;")
    named = {"name": r"2-b\.sql is misnamed\. Call it NNN_name\.sql", "partner": "002_b has no rollback file. Add it"}
    with pytest.raises(ConfigurationError, match=named.get(wrong, r"002_b\.sql uses BEGIN")) as raised:
        up(empty_database, folder=folder)
    assert raised.value.code is Code.MIGRATION_FILES_WRONG
    assert rows(empty_database, "SELECT to_regclass('a'), to_regclass('pattern_schema_migrations')") == [(None, None)]
    if wrong == "name":
        (folder / "2-b.sql").rename(forward)
    elif wrong == "partner":
        back.write_text("DROP TABLE b;")
    else:
        forward.write_text("CREATE TABLE b ();")
    assert up(empty_database, folder=folder) == (1, 2)
    assert rows(empty_database, "SELECT to_regclass('b')") == [("b",)]


@pytest.mark.remedy(Code.MIGRATION_OUT_OF_ORDER)
def test_a_file_between_others_gets_a_number_above_them(empty_database: str, folder: Path) -> None:
    put(folder, "003", "c")
    up(empty_database, folder=folder)
    put(folder, "002", "b")
    with pytest.raises(ConfigurationError, match=r"002_b: .* Give the new file a number above 003\.") as raised:
        up(empty_database, folder=folder)
    assert raised.value.code is Code.MIGRATION_OUT_OF_ORDER
    assert rows(empty_database, LEDGER) == [(1,), (3,)]
    assert rows(empty_database, "SELECT to_regclass('b')") == [(None,)]
    (folder / "002_b.sql").rename(folder / "004_b.sql")
    (folder / "002_rollback_b.sql").rename(folder / "004_rollback_b.sql")
    assert up(empty_database, folder=folder) == (4,)
    assert rows(empty_database, "SELECT to_regclass('b')") == [("b",)]


@pytest.mark.remedy(Code.MIGRATIONS_UNKNOWN)
def test_the_checkout_that_brought_the_migrations_goes_on(sides: TwoSides, tmp_path: Path) -> None:
    newer = Path(shutil.copytree(MIGRATIONS, tmp_path / "newer"))
    put(newer, f"{NEWEST + 1:03}", "newest")
    owner = logged_in(sides.postgres, MIGRATOR)
    apply(owner, "up", None, "run", newer)
    with pytest.raises(ConfigurationError, match=rf"does not have: {NEWEST + 1:03}_newest\.") as raised:
        apply(owner, "up", None, "run")
    assert raised.value.code is Code.MIGRATIONS_UNKNOWN
    assert rows(sides.postgres.conninfo, LEDGER)[-1] == (NEWEST + 1,)
    # Syncs go on.
    sides.insert(patterns(5))
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()
    assert plan(owner, "up", None, newer).steps == ()
    assert apply(owner, "down", NEWEST, "run", newer).versions == (NEWEST + 1,)
    assert verify(owner).version == NEWEST


OBSTACLES = [
    (
        "CREATE TABLE pattern_quality_metrics (id uuid PRIMARY KEY, pattern_id text)",
        r"ALTER TABLE .*?;",
    ),
    (
        "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, created_at timestamp)",
        r"ALTER TABLE .*?;",
    ),
]


@pytest.mark.remedy(Code.MIGRATION_OBSTRUCTED)
@pytest.mark.parametrize(("setup", "statement"), OBSTACLES)
def test_a_table_of_others_is_changed_as_the_message_says(empty_database: str, setup: str, statement: str) -> None:
    rows(empty_database, setup)
    config = config_of(empty_database)
    with pytest.raises(ConfigurationError, match="cannot be migrated as it is, and nothing was changed") as raised:
        up(empty_database)
    assert raised.value.code is Code.MIGRATION_OBSTRUCTED
    assert rows(empty_database, "SELECT to_regclass('pattern_schema_migrations')") == [(None,)]
    remedies = re.findall(statement, raised.value.message)
    assert len(remedies) == 1, raised.value.message
    rows(empty_database, remedies[0])
    assert up(empty_database)[-1] == NEWEST
    assert verify(config).version == NEWEST
