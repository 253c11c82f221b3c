"""The secrets that tests use, and the search for them in everything that runs have written.

Every secret holds one marker, made anew at each start of the tests, so that one search finds any of them. Whatever a
run writes comes to :meth:`Leaks.look`: log lines, XCom values, texts of errors, the rows of run tables. A find fails
the test it belongs to.
"""

import hashlib
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.support.kept_connections import connected

# Workers of pytest-xdist must name their tests alike, and secrets stand in the names of some.
_START = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
MARKER = f"s3cr3t-{hashlib.sha256(_START.encode()).hexdigest()[:12]}"
SHORTEST_FOUND = 8
"""A real server's password shorter than this is not looked for: it would be found in words."""

# Most tests fill two or three tables; to read the empty ones too took a tenth of the time of a test of the sync.
_TABLES = """
SELECT nspname, relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema')
  AND relname LIKE ANY ('{pattern_sync_%,pattern_quality_%,%migration%,pattern_learning_%,pattern_analytics}')
  AND (relkind = 'p' OR relkind = 'r' AND pg_relation_size(c.oid) > 0)
ORDER BY 1, 2
"""
_ROWS = sql.SQL("SELECT {}, t::text FROM {} AS t")


def secret(purpose: str) -> str:
    """A secret to be used by a test, which no output may hold.

    :param purpose: what it opens; makes it differ from others
    """
    return f"{MARKER}-{purpose}"


@dataclass
class Leaks:
    """What was looked through, and where a secret stood in it.

    :param secrets: texts to be found, besides the marker
    """

    secrets: tuple[str, ...] = ()
    found: list[str] = field(default_factory=list)
    characters: int = 0

    def look(self, place: str, text: str) -> None:
        """Look through a text.

        :param place: where it stands, to be named with a find
        """
        self.characters += len(text)
        for wanted in (MARKER, *(one for one in self.secrets if len(one) >= SHORTEST_FOUND)):
            position = text.find(wanted)
            if position >= 0:
                around = text[max(0, position - 80) : position].splitlines()[-1:]
                self.found.append(f"{place}: ... {''.join(around)}[a secret]")

    def look_at_database(self, dsn: str) -> None:
        """Look through every row that runs have written: all tables of the database, whatever they are called."""
        with connected(dsn) as connection:
            tables = connection.execute(_TABLES).fetchall()
            # One statement, because every test pays for it.
            rows = [_ROWS.format(sql.Literal(table), sql.Identifier(schema, table)) for schema, table in tables]
            for table, row in connection.execute(sql.SQL(" UNION ALL ").join(rows)) if rows else ():
                self.look(f"table {table}", row)

    def look_at_folder(self, folder: Path) -> None:
        """Look through every file: task logs, and Airflow's database with its XCom values and rendered templates."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.look(f"file {path.relative_to(folder)}", path.read_bytes().decode("utf-8", "replace"))

    def take(self) -> list[str]:
        """Return what was found since the last call."""
        found, self.found = self.found, []
        return found


LEAKS = Leaks(
    tuple(
        value
        for value in (
            conninfo_to_dict(os.environ.get("PATTERNS_TEST_POSTGRES_DSN", "")).get("password"),
            os.environ.get("PATTERNS_TEST_QDRANT_API_KEY"),
        )
        if isinstance(value, str)
    )
)
"""What this process's tests have written so far."""
