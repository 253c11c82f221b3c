"""How much memory a verification takes, by the number of points: when all are right, and when all are wrong.

``PYTHONPATH=plugins python -m benchmarks.verification --size large`` syncs made-up patterns with short vectors, because
memory must not depend on how many there are. It needs a Qdrant server. It prints a Markdown table and keeps it in
``results.json``.
"""

import argparse
import sys
from collections.abc import Iterator

import psycopg

from benchmarks.jobs import postgres_of, unindexed
from benchmarks.results import save
from benchmarks.servers import Measurement, Servers, measure
from benchmarks.table import MEBIBYTE, NEEDS_SERVER, Row

DIMENSION = 8
SIZES = {"small": (10_000, 50_000), "large": (100_000, 1_000_000)}
TARGET = "≤ 300"
FILL = """
INSERT INTO pattern_lineage_nodes (pattern_id, pattern_name, pattern_type, pattern_data, file_path, language)
SELECT
    number::text,
    'function_' || number,
    'code',
    jsonb_build_object('code', format(E'def function_%%s(x):\n    return x + 1  # %%s', number, md5(number::text))),
    'package/module_' || number %% 1000 || '.py',
    'python'
FROM generate_series(1, %s) AS number
"""
SPOIL = """
ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER;
UPDATE pattern_lineage_nodes SET pattern_name = pattern_name || ' renamed unseen';
"""


def main() -> None:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verification", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="small takes two minutes, large an hour")
    size = parser.parse_args().size
    with Servers.running() as servers:
        lines = [line for count in SIZES[size] for line in _rows(servers, count)]
        save("verification", f"{servers.qdrant}; vectors of {DIMENSION} dimensions", lines, size=size)


def _rows(servers: Servers, count: int) -> Iterator[Row]:
    names = [f"peak memory of a verification of {count:,} points, {state}" for state in ("all right", "all wrong")]
    if not servers.qdrant_url:
        yield from (Row(name, None, "MiB", TARGET, NEEDS_SERVER) for name in names)
        return
    with (
        servers.database(0) as workload,
        servers.collection(workload) as own,
        psycopg.connect(postgres_of(workload).conninfo, autocommit=True) as connection,
    ):
        connection.execute(FILL, [count])
        connection.execute("VACUUM ANALYZE pattern_lineage_nodes")
        unindexed(own, DIMENSION)
        print(f"Syncing {count:,} patterns", file=sys.stderr)
        measure(own, "sync", "full", "hashing", str(DIMENSION))
        yield _row(names[0], measure(own, "verify", str(DIMENSION)))
        connection.execute(SPOIL)
        yield _row(names[1], measure(own, "verify", str(DIMENSION)))


def _row(name: str, measured: Measurement) -> Row:
    note = f"{measured.seconds:.1f} s; {measured.details['found']}"
    return Row(name, measured.peak_bytes / MEBIBYTE, "MiB", TARGET, note)


if __name__ == "__main__":
    main()
