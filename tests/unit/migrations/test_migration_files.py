"""The rules for migration files, and which of them a run picks."""

from pathlib import Path

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.files import Migration, Script, read_migrations
from code_patterns.migrations.ledger import Entry
from code_patterns.migrations.planning import Plan, make_plan
from code_patterns.migrations.statements import first_words


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name.removeprefix('f')}.sql").write_text(text)
    return folder


def test_the_projects_own_migrations_keep_the_rules() -> None:
    migrations = read_migrations()
    assert [migration.forward.name for migration in migrations] == [
        "001_pattern_learning_init",
        "013_remove_pattern_quality_fk",
        "014_add_pattern_quality_unique_constraint",
        "015_pattern_sync",
        "016_pattern_sync_index",
        "017_quality",
        "018_pattern_learning_traces",
        "019_pattern_search_index",
        "020_pattern_sync_outbox",
    ]
    assert migrations[1].rollback.name == "013_rollback_pattern_quality_fk"
    assert [migration.version for migration in migrations if migration.forward.transactional] == [17, 20]
    assert [migration.version for migration in migrations if migration.forward.in_parts] == [1, 13, 14, 15, 16, 18]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"f1_short": "SELECT 1;"}, "1_short.sql is misnamed"),
        ({"f001_Name": "SELECT 1;"}, "001_Name.sql is misnamed"),
        ({"f000_zero": "SELECT 1;"}, "000_zero.sql is misnamed"),
        ({"f001_a": "SELECT 1;"}, "001_a has no rollback file"),
        ({"f001_rollback_a": "SELECT 1;"}, "001_rollback_a has no forward file"),
        ({"f001_a": "SELECT 1;", "f001_b": "SELECT 1;"}, "001_a.sql and 001_b.sql have the same number"),
        ({"f001_a": "SELECT 1; COMMIT;"}, "001_a.sql uses COMMIT"),
        ({"f001_a": "begin; SELECT 1; end"}, "001_a.sql uses BEGIN"),
        ({"f001_a": "/* quietly */ -- so\n rollback to x"}, "001_a.sql uses ROLLBACK"),
        ({"f001_a": "-- 001 (not transactional): two\nSELECT 1; SELECT 2;"}, "holds 2 statements"),
        ({}, "There are no migrations"),
    ],
)
def test_a_broken_rule_is_named(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_migrations(write(tmp_path, **files))


def test_only_real_statements_are_looked_at() -> None:
    text = """
        -- COMMIT; in a comment
        /* COMMIT; there; */
        SELECT 'it''s; COMMIT;', E'\\'; COMMIT; ', "odd; COMMIT;";
        DO $$ BEGIN RAISE NOTICE 'x'; END $$;
        DO $body$ BEGIN EXECUTE $$COMMIT;$$; END $body$;
        ;;
        CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT 1; COMMIT';
    """
    assert first_words(text) == ["SELECT", "DO", "DO", "CREATE"]


def test_line_ends_of_the_checkout_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "001_a.sql").write_bytes(b"-- 001: a\nSELECT 1;\n")
    (tmp_path / "001_rollback_a.sql").write_bytes(b"-- 001: a\r\nSELECT 1;\r\n")
    (migration,) = read_migrations(tmp_path)
    assert migration.forward.checksum == migration.rollback.checksum


MIGRATIONS = tuple(
    Migration(
        version, Script(f"{version:03d}_a", f"-- {version}"), Script(f"{version:03d}_rollback_a", f"-- -{version}")
    )
    for version in (1, 13, 14)
)


def seen(*versions: int, state: str = "applied") -> list[Entry]:
    return [
        Entry(m.version, m.forward.name, m.forward.checksum, m.rollback.checksum, state)  # type: ignore[arg-type]
        for m in MIGRATIONS
        if m.version in versions
    ]


def names(plan: Plan) -> list[str]:
    return [script.name for step in plan.steps for script in step.scripts]


def test_up_runs_what_is_missing_and_down_what_is_above_the_target() -> None:
    assert names(make_plan("db", MIGRATIONS, [], "up", None)) == ["001_a", "013_a", "014_a"]
    assert names(make_plan("db", MIGRATIONS, seen(1), "up", 13)) == ["013_a"]
    assert names(make_plan("db", MIGRATIONS, seen(1, 13, 14), "up", None)) == []
    assert names(make_plan("db", MIGRATIONS, seen(1, 13, 14), "up", 13)) == []
    assert names(make_plan("db", MIGRATIONS, seen(1, 13, 14), "down", 1)) == ["014_rollback_a", "013_rollback_a"]
    assert names(make_plan("db", MIGRATIONS, seen(1), "down", 0)) == ["001_rollback_a"]
    assert names(make_plan("db", MIGRATIONS, seen(1), "down", 13)) == []


def test_an_unfinished_migration_is_cleaned_up_before_it_is_repeated() -> None:
    entries = seen(1, 13) + seen(14, state="applying")
    assert names(make_plan("db", MIGRATIONS, entries, "up", None)) == ["014_rollback_a", "014_a"]
    assert names(make_plan("db", MIGRATIONS, entries, "down", 13)) == ["014_rollback_a"]


def test_the_plan_shows_every_file_in_full() -> None:
    plan = make_plan("db", MIGRATIONS, seen(1), "up", None)
    assert plan.summary == "db is at version 001.\n2 to apply:\n  013_a\n  014_a"
    assert "013_a.sql" in plan.sql
    assert "-- 14" in plan.sql


@pytest.mark.parametrize(
    ("entries", "direction", "target", "message"),
    [
        ([], "up", 15, "no migration 15. Set Param target to one of: 1, 13, 14"),
        ([], "up", 0, "no migration 0. Set Param target to one of: 1, 13, 14"),
        (seen(1), "down", 2, "no migration 2. Set Param target to one of: 0, 1, 13, 14"),
        (seen(1), "down", None, "needs an explicit target"),
        (seen(1, 14), "up", None, "is at version 014 without 013_a"),
        ([*seen(1), Entry(99, "099_later", "x", "x", "applied")], "up", None, "does not have: 099_later"),
        ([Entry(1, "001_a", "x", MIGRATIONS[0].rollback.checksum, "applied")], "up", None, "edited .*: 001_a. Restore"),
        ([Entry(1, "001_a", "x", "x", "applied")], "down", 0, "edited .*: 001_a, 001_rollback_a. Restore"),
    ],
)
def test_what_does_not_fit_is_refused(entries: list[Entry], direction: str, target: int | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_plan("db", MIGRATIONS, entries, direction, target)  # type: ignore[arg-type]
