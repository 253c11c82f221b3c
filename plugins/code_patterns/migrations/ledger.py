"""The table ``pattern_schema_migrations``: which migrations a database has seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row

from code_patterns.migrations.files import Migration
from code_patterns.sql import query

State = Literal["applied", "applying", "rolling back"]


@dataclass(frozen=True)
class Entry:
    """A migration the database has seen.

    :param version: its number
    :param name: name of its forward file
    :param checksum: SHA-256 of the forward file as it was run
    :param rollback_checksum: SHA-256 of the rollback file at that time
    :param state: ``applied``, or what a run was doing when it died; only files without a transaction leave that
    :param notes: what its run found and decided, such as a table that it left alone
    """

    version: int
    name: str
    checksum: str
    rollback_checksum: str
    state: State
    notes: Sequence[str] = ()

    @property
    def dirty(self) -> bool:
        """Whether a run died in the middle of it."""
        return self.state != "applied"


def create(connection: psycopg.Connection[Any]) -> None:
    """Create the table unless it is there."""
    connection.execute(query("migration_ledger_create"))


def read(connection: psycopg.Connection[Any]) -> tuple[Entry, ...]:
    """Return all entries in ascending order; none where the table does not exist."""
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        if connection.execute(query("migration_ledger_exists")).fetchone() != (True,):
            return ()
        return tuple(cursor.execute(query("migration_ledger_read")))


def record(
    connection: psycopg.Connection[Any], migration: Migration, state: State, run_id: str, notes: Sequence[str] = ()
) -> None:
    """Write or overwrite the entry of a migration.

    :param run_id: the caller's name of the run
    :param notes: what the run found and decided
    """
    connection.execute(
        query("migration_ledger_record"),
        {
            "version": migration.version,
            "name": migration.forward.name,
            "checksum": migration.forward.checksum,
            "rollback_checksum": migration.rollback.checksum,
            "state": state,
            "run_id": run_id,
            "notes": list(notes),
        },
    )


def forget(connection: psycopg.Connection[Any], migration: Migration) -> None:
    """Delete the entry of a migration that was rolled back."""
    connection.execute(query("migration_ledger_forget"), {"version": migration.version})
