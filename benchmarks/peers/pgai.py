"""pgai's vectorizer worker: a queue that its trigger fills; vectors in a table of pgvector.

The text is a generated column of the table. It embeds over HTTP only. The second argument is how it runs: ``live``
polls every second; ``documented`` and ``tuned`` work until the queue is empty, as ``pgai vectorizer worker --once``. As
documented means its defaults: batches of 50, one at a time. Tuned, and live, are batches of 100, six at a time.
"""

import asyncio
import sys
from datetime import timedelta

import pgai
import psycopg
import structlog
from pgai.vectorizer import Worker
from psycopg.types.json import Jsonb

from benchmarks.clock import measured
from benchmarks.workload import BATCH, DIMENSION, MODEL, Workload

POLL_SECONDS = 1
PREPARE = """
CREATE EXTENSION IF NOT EXISTS vector;
ALTER TABLE pattern_lineage_nodes ADD COLUMN IF NOT EXISTS document text GENERATED ALWAYS AS (
    'File: ' || regexp_replace(file_path, '^.*/', '') || E'\\nLanguage: ' || coalesce(language, 'unknown')
    || E'\\nPath: ' || file_path || E'\\n\\nCode:\\n' || (pattern_data ->> 'code')
) STORED;
"""
CREATE = """
SELECT ai.create_vectorizer(
    'pattern_lineage_nodes'::regclass,
    name => 'patterns',
    loading => ai.loading_column('document'),
    parsing => ai.parsing_none(),
    chunking => ai.chunking_none(),
    embedding => ai.embedding_ollama(%(model)s, %(dimension)s, base_url => %(url)s),
    destination => ai.destination_table(target_table => 'pattern_vectors'),
    processing => ai.processing_default(batch_size => %(batch)s::int, concurrency => %(concurrency)s::int),
    if_not_exists => true
)
"""
MOVE = "UPDATE ai.vectorizer SET config = jsonb_set(config, '{embedding,base_url}', %s) WHERE name = 'patterns'"


def prepare(workload: Workload) -> None:
    """Make the column of the texts, and what pgai needs in the database."""
    with psycopg.connect(workload.dsn, autocommit=True) as connection:
        connection.execute(PREPARE)
    pgai.install(workload.dsn)


def create(workload: Workload, way: str) -> None:
    """Create the vectorizer, which fills its queue with all rows; one that exists embeds at this workload's server."""
    batch, concurrency = (None, None) if way == "documented" else (BATCH, 6)
    values = {"model": MODEL, "dimension": DIMENSION, "url": workload.embedding_url}
    with psycopg.connect(workload.dsn, autocommit=True) as connection:
        connection.execute(CREATE, {**values, "batch": batch, "concurrency": concurrency})
        connection.execute(MOVE, [Jsonb(workload.embedding_url)])


def once(workload: Workload, way: str) -> None:
    """Work until the queue is empty; end with status 1 after an error, as its command does."""
    with measured():
        create(workload, way)
        failed = asyncio.run(Worker(workload.dsn, once=True).run())
    sys.exit(1 if failed else 0)


def main(workload: Workload, way: str) -> None:
    """Run the worker once, or until the process is ended."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    prepare(workload)
    if way != "live":
        once(workload, way)
    create(workload, way)
    asyncio.run(Worker(workload.dsn, timedelta(seconds=POLL_SECONDS)).run())


if __name__ == "__main__":
    main(Workload.from_arguments(), sys.argv[2])
