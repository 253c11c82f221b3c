"""Look for tables that hold much unused room, and for indexes that are missing or not valid; nothing is changed."""

import logging
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import psycopg

from code_patterns import schema
from code_patterns.migrations import ledger
from code_patterns.migrations.session import reading
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sql import query

log = logging.getLogger(__name__)

LEAST_UNUSED_BYTES = 16 * 1024 * 1024
"""Less unused room than this costs nobody anything."""
LEAST_UNUSED_SHARE = 0.5
"""Statistics cannot tell a smaller share of unused room from a wrong estimate."""
LEAST_DEAD_ROWS = 10_000
LEAST_DEAD_SHARE = 0.3
"""Autovacuum comes at a fifth, unless it is switched off or cannot keep up."""


@dataclass(frozen=True)
class Finding:
    """Something that a person should look at.

    :param name: the table or index
    :param problem: what is wrong, in words
    :param remedy: the statement to run, or what else to do
    """

    name: str
    problem: str
    remedy: str


@dataclass(frozen=True)
class TableHealth:
    """How the tables and indexes are.

    :param tables: number of tables looked at
    :param indexes: number of their indexes
    :param bytes: size of both
    :param unused: bytes of it that no row needs, as far as statistics tell
    :param findings: what a person should look at
    """

    tables: int
    indexes: int
    bytes: int
    unused: int
    findings: tuple[Finding, ...]

    def as_xcom(self) -> dict[str, Any]:
        """All of it as JSON."""
        return asdict(self) | {"findings": [asdict(finding) for finding in self.findings]}

    def summary(self) -> str:
        """The result in few lines."""
        sizes = f"{self.tables} tables and {self.indexes} indexes, {_mebibytes(self.bytes)}"
        if not self.findings:
            return f"{sizes}: all in order"
        lines = (f"{finding.name}: {finding.problem}. {finding.remedy}" for finding in self.findings)
        return "\n".join([f"{sizes}: {len(self.findings)} to look at", *lines])


@dataclass(frozen=True)
class _Relation:
    """A row of ``table_health.sql``: a table or an index."""

    kind: str
    name: str
    relname: str
    bytes: int
    unused: int | None
    dead_rows: int
    row_count: int
    is_valid: bool

    def findings(self) -> Iterator[Finding]:
        """What is wrong with it."""
        finding = partial(Finding, self.name)
        if not self.is_valid:
            yield finding("the index is not valid", f"REINDEX INDEX CONCURRENTLY {self.name};")
            return
        if self.dead_rows >= LEAST_DEAD_ROWS and self.dead_rows >= LEAST_DEAD_SHARE * self.row_count:
            yield finding(
                f"{self.dead_rows:,} dead rows beside {self.row_count:,}",
                f"VACUUM (ANALYZE) {self.name}; Look whether autovacuum is on, and whether an old transaction is open.",
            )
        if self.unused is not None and self.unused >= max(LEAST_UNUSED_BYTES, LEAST_UNUSED_SHARE * self.bytes):
            about = f"about {_mebibytes(self.unused)} of {_mebibytes(self.bytes)} are unused"
            if self.kind == "index":
                yield finding(about, f"REINDEX INDEX CONCURRENTLY {self.name};")
            else:
                give_back = f"VACUUM (FULL, ANALYZE) {self.name};"
                yield finding(
                    about, f"New rows fill it. {give_back} gives it back; nobody can use the table meanwhile."
                )


def look_at_tables(config: PostgresConfig, migration: str = "schema_migration") -> TableHealth:
    """Look at the tables that migrations have made or adopted.

    :param migration: the DAG that migrates this database
    :raises ConfigurationError: the connection does not work
    :raises OutageError: the server is away
    """
    with reading(config) as connection:
        missing = tuple(_missing(connection, migration))
        names, _ = schema.expected_names()
        rows = connection.execute(query("table_health"), {"relations": sorted(names)}).fetchall()
    relations = [_Relation(*row) for row in rows]
    told = {finding.name for finding in missing}
    found = (finding for each in relations if each.relname not in told for finding in each.findings())
    health = TableHealth(
        sum(each.kind == "table" for each in relations),
        sum(each.kind == "index" for each in relations),
        sum(each.bytes for each in relations),
        sum(each.unused or 0 for each in relations),
        (*missing, *found),
    )
    for finding in health.findings:
        log.warning("%s: %s. %s", finding.name, finding.problem, finding.remedy)
    return health


def _missing(connection: psycopg.Connection[Any], migration: str) -> Iterator[Finding]:
    """Indexes of migrations that are not there, or are there but not valid or other ones."""
    version = max((entry.version for entry in ledger.read(connection)), default=0)
    actual = schema.actual_facts(connection)
    remedy = f"Run {migration} with dry_run off: it makes the index again."
    for fact, since in schema.missing_facts(version, actual).items():
        if index := re.match(r"(?:unique )?index (\w+): ", fact):
            invalid = f"{fact} (invalid)" in actual
            problem = "is not valid" if invalid else "is missing, or is another one"
            yield Finding(index[1], f"the index of migration {since:03} {problem}", remedy)


def _mebibytes(count: int) -> str:
    return f"{count / 1024 / 1024:,.0f} MiB"
