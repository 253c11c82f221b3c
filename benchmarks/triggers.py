"""What the sync's triggers add to the writes of others: each statement in turns with and without them.

``PYTHONPATH=plugins python -m benchmarks.triggers`` updates and deletes rows of ``pattern_lineage_nodes`` in
transactions that are rolled back. It prints a Markdown table and keeps it in ``results.json``. The ratios are of the
fastest rounds, because other work on the machine only ever adds time.
"""

import json
import time
from collections.abc import Iterator

import psycopg

from benchmarks.jobs import postgres_of
from benchmarks.patterns import functions
from benchmarks.results import save
from benchmarks.servers import Servers
from benchmarks.table import Row

PATTERNS = 100
ROUNDS = 25
LARGE = 200_000
"""Characters of code in a large pattern; PostgreSQL keeps it outside the row, compressed."""
FILL = """
INSERT INTO pattern_lineage_nodes (pattern_id, pattern_type, pattern_data)
SELECT number::text, 'code', %s::jsonb FROM generate_series(1, %s) AS number
"""
STATEMENTS = {
    "counting a use of a pattern": ("UPDATE pattern_lineage_nodes SET usage_count = usage_count + 1", "≤ 1.5"),
    "renaming a pattern": ("UPDATE pattern_lineage_nodes SET pattern_name = 'other'", ""),
    "deleting a pattern": ("DELETE FROM pattern_lineage_nodes", ""),
}


def main() -> None:
    """Measure, print the table, write the results."""
    with Servers.running() as servers, servers.database(0) as workload:
        dsn = postgres_of(workload).conninfo
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("ALTER TABLE pattern_lineage_nodes ADD COLUMN IF NOT EXISTS usage_count int DEFAULT 0")
            lines = [line for size in (LARGE, 0) for line in _rows(connection, size)]
    save("triggers", f"rows of {PATTERNS} patterns a statement, the fastest of {ROUNDS} rounds", lines)


def _rows(connection: psycopg.Connection, size: int) -> Iterator[Row]:
    code = "\n".join(code for _, _, code in functions())[:size] if size else "x = 1"
    connection.execute("TRUNCATE pattern_lineage_nodes")
    connection.execute(FILL, [json.dumps({"code": code}), PATTERNS])
    for name, (statement, target) in STATEMENTS.items():
        with_them, without = [], []
        for _ in range(ROUNDS):
            with_them.append(_microseconds(connection, statement, "ENABLE ALWAYS"))
            without.append(_microseconds(connection, statement, "DISABLE"))
        ratio = min(with_them) / min(without)
        what = f"{name} of {len(code):,} characters: with the triggers, against without"
        note = f"{min(with_them):.1f} µs, {min(without):.1f} µs a row"
        yield Row(what, ratio, "times as long", target, note)


def _microseconds(connection: psycopg.Connection, statement: str, triggers: str) -> float:
    """Time a row takes, with the sync's triggers enabled or disabled."""
    names = connection.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'pattern_lineage_nodes'::regclass "
        "AND starts_with(tgname, 'zz_pattern_sync_')"
    ).fetchall()
    changes = ", ".join(f"{triggers} TRIGGER {name}" for (name,) in names)
    connection.execute(f"ALTER TABLE pattern_lineage_nodes {changes}".encode())
    with connection.transaction(force_rollback=True):
        begun = time.perf_counter()
        connection.execute(statement.encode())
        seconds = time.perf_counter() - begun
    connection.execute("VACUUM pattern_lineage_nodes")
    return seconds / PATTERNS * 1e6


if __name__ == "__main__":
    main()
