"""How long others wait for tables while all migrations adopt them.

``PYTHONPATH=plugins python -m benchmarks.migrations --size large`` makes the tables of an older installation with
many rows each, without the keys, checks and indexes that migrations add, and with duplicate scores. Meanwhile a writer
commits every 20 ms and a reader reads one row every 10 ms in each table. It prints a Markdown table and keeps
it in ``results.json``.
"""

import argparse
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.jobs import postgres_of
from benchmarks.results import save
from benchmarks.servers import Servers
from benchmarks.table import Row
from benchmarks.workload import Workload
from code_patterns.migrations.runner import apply, verify

SIZES = {"small": 100_000, "large": 1_000_000}
WRITER_SECONDS, READER_SECONDS = 0.02, 0.01
QUIET_SECONDS = 10.0
WRITER_TARGET, READER_TARGET = "≤ 1", "≤ 0.2"
DUPLICATES = 5
"""One score of so many patterns is measured twice."""
EVENTS = 10
"""Usage events of each template."""

TABLES = """
CREATE TABLE pattern_lineage_nodes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), pattern_id varchar(255), pattern_name varchar(255),
    pattern_type varchar(100), pattern_version varchar(50) DEFAULT '1.0.0', pattern_data jsonb,
    metadata jsonb DEFAULT '{{}}', created_at timestamptz DEFAULT now(), usage_count int DEFAULT 0);
CREATE TABLE pattern_quality_metrics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), pattern_id uuid, quality_score numeric(3,2), confidence numeric(3,2),
    measurement_timestamp timestamptz DEFAULT now(), version varchar(50), metadata jsonb DEFAULT '{{}}');
CREATE TABLE pattern_templates (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), pattern_name varchar(255), pattern_type varchar(100),
    language varchar(50), description text, confidence_score numeric(3,2) DEFAULT 0.5, usage_count int DEFAULT 0,
    success_rate numeric(3,2) DEFAULT 0.5, is_deprecated boolean DEFAULT false, tags varchar(50)[],
    last_used_at timestamptz);
CREATE TABLE pattern_usage_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), pattern_id uuid REFERENCES pattern_templates, success boolean,
    quality_before numeric(3,2), quality_after numeric(3,2), quality_improvement numeric(3,2),
    used_at timestamptz DEFAULT now());

INSERT INTO pattern_lineage_nodes (id, pattern_id, pattern_name, pattern_type, pattern_data)
SELECT md5(n::text)::uuid, n::text, 'function_' || n, 'code', jsonb_build_object('code', repeat(md5(n::text), 8))
FROM generate_series(1, {rows}) AS n;
INSERT INTO pattern_quality_metrics (pattern_id, quality_score, confidence, version)
SELECT md5(n::text)::uuid, 0.5, 0.5, '1.0.0'
FROM generate_series(1, {rows}) AS n, generate_series(0, (n % {duplicates} = 0)::int);
INSERT INTO pattern_templates (id, pattern_name, pattern_type, language, description, tags)
SELECT md5(n::text)::uuid, 'TemplateNumber' || n, 'code', 'python', 'About template ' || n, ARRAY['a', md5(n::text)]
FROM generate_series(1, {rows} / {events}) AS n;
INSERT INTO pattern_usage_events (pattern_id, success, quality_before, quality_after)
SELECT md5((1 + n % ({rows} / {events}))::text)::uuid, n % 3 > 0, 0.25, 0.5 FROM generate_series(1, {rows}) AS n;
VACUUM ANALYZE
"""
_ANY = "(SELECT md5((1 + random() * 400)::int::text)::uuid)"
WRITES = {
    "pattern_lineage_nodes": (
        "INSERT INTO pattern_lineage_nodes (pattern_id, pattern_data) VALUES (gen_random_uuid()::text, '{}')",
        "UPDATE pattern_lineage_nodes SET usage_count = usage_count + 1 WHERE id = " + _ANY,  # noqa: S608
    ),
    "pattern_quality_metrics": (
        "INSERT INTO pattern_quality_metrics (pattern_id, quality_score) VALUES (gen_random_uuid(), 0.5)",
    ),
    "pattern_templates": (
        "INSERT INTO pattern_templates (pattern_name, pattern_type) VALUES (gen_random_uuid()::text, 'code')",
        "UPDATE pattern_templates SET description = 'other' WHERE id = " + _ANY,  # noqa: S608
    ),
    "pattern_usage_events": ("INSERT INTO pattern_usage_events (success, pattern_id) SELECT true, " + _ANY,),
}
READ = "SELECT * FROM {} LIMIT 1"


@dataclass
class Waits:
    """Longest wait of everyone, in seconds, and how many statements were answered.

    :param writer: for a commit
    :param reader: for a row
    :param statements: of readers and writers
    """

    writer: float = 0
    reader: float = 0
    statements: int = 0
    where: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, seconds: float, table: str) -> None:
        """Take one measured wait."""
        self.statements += 1
        if seconds > getattr(self, kind):
            setattr(self, kind, seconds)
            self.where[kind] = table


def main() -> None:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.migrations", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="small takes two minutes, large twenty")
    size = parser.parse_args().size
    with Servers.running() as servers, _adoptable(servers, SIZES[size]) as dsn:
        lines = list(_rows(servers, dsn, SIZES[size]))
        with psycopg.connect(dsn) as connection:
            version, fsync = connection.info.server_version // 10_000, connection.execute("SHOW fsync").fetchone()
    conditions = (
        f"PostgreSQL {version}, fsync {fsync[0] if fsync else ''}; {SIZES[size]:,} rows in each of three tables and "
        f"{SIZES[size] // EVENTS:,} templates; a writer every {WRITER_SECONDS * 1000:.0f} ms and a reader every "
        f"{READER_SECONDS * 1000:.0f} ms in each of the four"
    )
    save("migrations", conditions, lines, size=size)


@contextmanager
def _adoptable(servers: Servers, count: int) -> Iterator[str]:
    """Make a database as an older installation has it, and drop it afterwards."""
    name = f"patterns_bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            dsn = make_conninfo(servers.postgres, dbname=name)
            print(f"Writing {count:,} rows into each table", file=sys.stderr)
            with psycopg.connect(dsn, autocommit=True) as connection:
                for statement in TABLES.format(rows=count, duplicates=DUPLICATES, events=EVENTS).split(";"):
                    connection.execute(statement.encode())
            yield dsn
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _rows(servers: Servers, dsn: str, count: int) -> Iterator[Row]:
    with _others(dsn) as quiet:
        time.sleep(QUIET_SECONDS)
    config = postgres_of(Workload(dsn, servers.embedding_url, servers.qdrant_url, "", "", count))
    begun = time.perf_counter()
    with _others(dsn) as waits:
        apply(config, "up", None, run_id="benchmark")
    seconds = time.perf_counter() - begun
    verify(config)
    for kind, target in (("writer", WRITER_TARGET), ("reader", READER_TARGET)):
        note = f"in {waits.where[kind]}; {getattr(quiet, kind):.2g} s without migrations"
        yield Row(f"longest wait of a {kind} while all migrations run", getattr(waits, kind), "s", target, note)
    yield Row("all migrations, beside these readers and writers", seconds, "s", "", f"{waits.statements:,} statements")


@contextmanager
def _others(dsn: str) -> Iterator[Waits]:
    """Read and write in every table until the end of the block."""
    waits, stop = Waits(), threading.Event()
    failures: list[BaseException] = []

    def work(kind: str, table: str, statements: tuple[str, ...], pause: float) -> None:
        try:
            # A prepared SELECT * fails once when its table gets a column, whoever adds it.
            with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
                number = 0
                while not stop.wait(pause):
                    begun = time.perf_counter()
                    connection.execute(statements[number % len(statements)].encode())
                    waits.add(kind, time.perf_counter() - begun, table)
                    number += 1
        except psycopg.Error as error:
            failures.append(error)

    threads = []
    for table, writes in WRITES.items():
        read = (READ.format(table),)
        threads.append(threading.Thread(target=work, args=["writer", table, writes, WRITER_SECONDS]))
        threads.append(threading.Thread(target=work, args=["reader", table, read, READER_SECONDS]))
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        yield waits
    if failures:
        raise failures[0]


if __name__ == "__main__":
    main()
