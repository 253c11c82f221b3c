"""Plan, apply and verify migrations."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from code_patterns import schema
from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.migrations import ledger
from code_patterns.migrations.execution import patiently, run_part
from code_patterns.migrations.files import Migration, read_migrations
from code_patterns.migrations.findings import find
from code_patterns.migrations.planning import Direction, Plan, Step, check_unchanged, make_plan
from code_patterns.migrations.session import LOCK_WAIT_SECONDS, check, check_lock, explained, migrating, reading
from code_patterns.migrations.taken_names import taken_names
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sql import MIGRATIONS

log = logging.getLogger(__name__)

_SHOWN_DIFFERENCES = 20


@dataclass(frozen=True)
class MigrationResult:
    """What a run did.

    :param run_id: the run, as the ledger names it
    :param direction: ``up`` or ``down``
    :param versions: migrations applied or rolled back, in that order
    :param version: the newest version the database has now; 0 is none
    """

    run_id: str
    direction: Direction
    versions: tuple[int, ...]
    version: int


@dataclass(frozen=True)
class Verification:
    """What was found in order.

    :param version: the newest version the database has; 0 is none
    :param facts: how many facts about its schema were compared
    """

    version: int
    facts: int


def plan(config: PostgresConfig, direction: Direction, target: int | None, folder: Path = MIGRATIONS) -> Plan:
    """Say what :func:`apply` would do, without changing anything.

    :param config: the database
    :param direction: ``up`` or ``down``
    :param target: version to end at; ``None`` means the newest; down needs it
    :param folder: where the migrations are
    :raises ConfigurationError: the migrations, the target or the database forbid it
    """
    migrations = read_migrations(folder)
    with reading(config) as connection:
        check(connection, config)
        return _make_plan(connection, config, migrations, direction, target, folder)


def apply(
    config: PostgresConfig,
    direction: Direction,
    target: int | None,
    run_id: str,
    folder: Path = MIGRATIONS,
    wait_seconds: float = LOCK_WAIT_SECONDS,
) -> MigrationResult:
    """Run the migrations that are due, one after the other, so that nobody waits for long.

    Whatever forbids one of them is found before anything is changed. A file runs whole in one transaction, together
    with its entry in the ledger; if it fails, nothing of it remains. A file in parts, or one outside a transaction, is
    recorded before and after; if a run dies in between, the next one goes on with it. The files before it stay. A
    second run at the same time waits, and then finds nothing to do. On the way up, an applied migration that has lost
    something is run again.

    :param config: the database, reached directly and not through a pooler
    :param direction: ``up`` or ``down``
    :param target: version to end at; ``None`` means the newest; down needs it
    :param run_id: the run's name in the ledger
    :param folder: where the migrations are
    :param wait_seconds: how long to wait for another run
    :raises ConfigurationError: a file failed, or the migrations, the target or the database forbid the run
    :raises OutageError: the connection was lost, or another session held a table or the lock of the runs
    """
    migrations = read_migrations(folder)
    done: list[int] = []
    with migrating(config, wait_seconds) as connection:
        with explained(config, connection, "Preparing the migration failed"):
            todo = _make_plan(connection, config, migrations, direction, target, folder)
            if todo.obstacles:
                raise ConfigurationError(Code.MIGRATION_OBSTRUCTED, todo.refusal)
            ledger.create(connection)
        log.info("%s", todo.summary)
        for note in todo.notes:
            log.info("Note: %s", note)
        for step in todo.steps:
            started = time.monotonic()
            _run(connection, config, step, run_id, done)
            done.append(step.migration.version)
            name = step.scripts[-1].name
            log.info("%s %s in %.1f s", "Applied" if direction == "up" else "Ran", name, time.monotonic() - started)
        with explained(config, connection, "Reading the ledger failed"):
            version = max((entry.version for entry in ledger.read(connection)), default=0)
    return MigrationResult(run_id, direction, tuple(done), version)


def verify(config: PostgresConfig, folder: Path = MIGRATIONS) -> Verification:
    """Make sure that what the ledger says is true.

    :raises ConfigurationError: a file was changed, a migration is unfinished, or the schema lacks something
    """
    migrations = read_migrations(folder)
    with reading(config) as connection:
        entries = ledger.read(connection)
        actual = schema.actual_facts(connection)
    check_unchanged(config.address, migrations, entries)
    if dirty := [f"{entry.name} ({entry.state})" for entry in entries if entry.dirty]:
        raise ConfigurationError(
            Code.MIGRATION_UNFINISHED,
            f"A run died in the middle of {', '.join(dirty)} on {config.address}. Run schema_migration again: it "
            "cleans up and repeats it.",
        )
    version = max((entry.version for entry in entries), default=0)
    expected = schema.expected_facts(version, folder)
    lost = schema.missing_facts(version, actual, folder)
    if missing := sorted(lost):
        shown = "; ".join(missing[:_SHOWN_DIFFERENCES])
        more = f"; and {len(missing) - _SHOWN_DIFFERENCES} more" if len(missing) > _SHOWN_DIFFERENCES else ""
        versions = ", ".join(f"{since:03d}" for since in sorted(set(lost.values())))
        raise ConfigurationError(
            Code.SCHEMA_DIFFERS,
            f"The schema of {config.address} is not that of version {version:03d}: {len(missing)} of {len(expected)} "
            f"facts do not hold: {shown}{more}. Run schema_migration with dry_run off: it applies {versions} again, "
            "which restores what is missing and leaves rows alone.",
        )
    return Verification(version, len(expected))


def _make_plan(
    connection: psycopg.Connection[Any],
    config: PostgresConfig,
    migrations: Sequence[Migration],
    direction: Direction,
    target: int | None,
    folder: Path,
) -> Plan:
    entries = ledger.read(connection)
    version = max((entry.version for entry in entries), default=0)
    actual = schema.actual_facts(connection)
    damaged = schema.missing_facts(version, actual, folder) if direction == "up" else {}
    todo = make_plan(config.address, migrations, entries, direction, target, set(damaged.values()))
    found = find(connection, (script for step in todo.steps for script in step.scripts))
    if direction == "up":
        made = {step.migration.version for step in todo.steps}
        expected = [
            fact for fact, since in schema.expected_facts(max(made, default=0), folder).items() if since in made
        ]
        taken = taken_names(connection, found.statements, expected, actual)
        found = replace(found, obstacles=(*found.obstacles, *taken))
    return todo.informed(found, entries)


def _run(connection: psycopg.Connection[Any], config: PostgresConfig, step: Step, run_id: str, done: list[int]) -> None:
    before = f"Done before it in this run: {', '.join(f'{version:03d}' for version in done) or 'nothing'}."
    script = step.scripts[-1]
    failed = f"Migration file {script.name}.sql failed"
    if script.transactional and not step.repair:

        def whole() -> None:
            check_lock(connection, config)
            for part in script.parts:
                connection.execute(part.sql.encode())
            _finish(connection, step, run_id)

        log.info("Running %s.sql", script.name)
        aftermath = f"Nothing of this file remains. {before} Remove the cause and run schema_migration again."
        with explained(config, connection, failed, aftermath):
            patiently(connection, whole)
        return
    aftermath = f"It is recorded as unfinished: the next run of schema_migration goes on with it. {before}"
    with explained(config, connection, failed, aftermath):
        check_lock(connection, config)
        found = find(connection, step.scripts)
        if found.obstacles:
            raise ConfigurationError(
                Code.MIGRATION_OBSTRUCTED, f"{failed} at {config.address}: {' '.join(found.obstacles)} {before}"
            )
        doing: ledger.State = "applying" if step.direction == "up" else "rolling back"
        ledger.record(connection, step.migration, doing, run_id, found.notes)
        for each in step.scripts:
            log.info("Running %s.sql", each.name)
            for part in each.parts:
                check_lock(connection, config)
                run_part(connection, each, part)
        _finish(connection, step, run_id, found.notes)


def _finish(connection: psycopg.Connection[Any], step: Step, run_id: str, notes: Sequence[str] = ()) -> None:
    if step.direction == "up":
        ledger.record(connection, step.migration, "applied", run_id, notes)
    else:
        ledger.forget(connection, step.migration)
