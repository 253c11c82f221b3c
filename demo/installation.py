"""An installation before this project: its tables, its rows, and the changes that its applications make."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_psycopg import connect_blocking
from demo.harvest import Harvest, Pattern

CODE_CHANGES = 30
METADATA_CHANGES = 50
RETIRED = 5
DELETED = 20


@dataclass(frozen=True)
class Burst:
    """How many rows the burst of changes touched, by kind of change.

    :param inserted: new code rows
    :param code_changed: rows with other code
    :param metadata_changed: rows with other metadata and the same code
    :param retired: rows that are no longer of type ``code``
    :param deleted: rows deleted
    :param counted: rows whose usage counter was raised; no change for the sync
    """

    inserted: int
    code_changed: int
    metadata_changed: int
    retired: int
    deleted: int
    counted: int


def load(config: PostgresConfig, harvest: Harvest) -> None:
    """Create the original tables and fill them."""
    with connect_blocking(config) as connection:
        connection.execute(query("original_schema"))
        add(connection, harvest.loaded)
        connection.execute(query("scores"))


def change(config: PostgresConfig, harvest: Harvest) -> Burst:
    """Change rows as applications do on a busy day, in several transactions."""
    with connect_blocking(config, autocommit=True) as connection:
        ids = [row[0] for row in connection.execute(query("code_rows"))]
        sizes = (CODE_CHANGES, METADATA_CHANGES, RETIRED, DELETED)
        parts = [ids[sum(sizes[:number]) : sum(sizes[: number + 1])] for number in range(len(sizes))]
        code, metadata, retired, deleted = parts
        with connection.transaction():
            add(connection, harvest.later)
        return Burst(
            inserted=len(harvest.later),
            code_changed=_run(connection, "change_code", code),
            metadata_changed=_run(connection, "change_metadata", metadata),
            counted=_run(connection, "count_usage", []),
            retired=_run(connection, "retire", retired),
            deleted=_run(connection, "delete", deleted),
        )


def count_by_type(config: PostgresConfig) -> dict[str, int]:
    """Count the rows of every pattern type, the most frequent first."""
    with connect_blocking(config) as connection:
        return dict(connection.execute(query("count_by_type")).fetchall())


def count_scores(config: PostgresConfig) -> tuple[int, int]:
    """Count the scores, and the patterns that have one."""
    with connect_blocking(config) as connection:
        scores, patterns = connection.execute(query("count_scores")).fetchall()[0]
        return scores, patterns


def code_contents(config: PostgresConfig) -> dict[UUID, dict[str, Any]]:
    """Return name, path, code and metadata of every code row by its id."""
    with connect_blocking(config) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return {row.pop("id"): row for row in cursor.execute(query("code_contents"), {"ids": None})}


def add(connection: psycopg.Connection, patterns: Sequence[Pattern]) -> None:
    """Insert rows as the applications of an installation do."""
    with connection.cursor() as cursor, cursor.copy(query("add_patterns")) as copy:
        for row in patterns:
            copy.write_row(
                (
                    row.id,
                    row.pattern_id,
                    row.pattern_name,
                    row.pattern_type,
                    row.pattern_version,
                    row.pattern_data,
                    row.metadata,
                    row.created_at,
                    row.file_path,
                    row.language,
                    "standard library",
                    "pattern_created",
                )
            )


def query(name: str) -> bytes:
    """Return the SQL of this name in ``demo/sql``."""
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_bytes()


def _run(connection: psycopg.Connection, name: str, ids: Sequence[UUID]) -> int:
    return connection.execute(query(name), {"ids": list(ids)}).rowcount
