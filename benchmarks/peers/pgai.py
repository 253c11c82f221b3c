"""pgai's vectorizer worker: a queue that its trigger fills, read every second; vectors in a table of pgvector.

The text is a generated column of the table. The worker takes batches of 100, six at a time. It embeds over HTTP only.
"""

import asyncio
from datetime import timedelta

import pgai
import psycopg
import structlog
from pgai.vectorizer import Worker
from psycopg.types.json import Jsonb

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
    processing => ai.processing_default(batch_size => %(batch)s, concurrency => 6),
    if_not_exists => true
)
"""
MOVE = "UPDATE ai.vectorizer SET config = jsonb_set(config, '{embedding,base_url}', %s) WHERE name = 'patterns'"


def main(workload: Workload) -> None:
    """Run the worker until the process is ended."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with psycopg.connect(workload.dsn, autocommit=True) as connection:
        connection.execute(PREPARE)
        pgai.install(workload.dsn)
        values = {"model": MODEL, "dimension": DIMENSION, "url": workload.embedding_url, "batch": BATCH}
        connection.execute(CREATE, values)
        connection.execute(MOVE, [Jsonb(workload.embedding_url)])
    asyncio.run(Worker(workload.dsn, timedelta(seconds=POLL_SECONDS)).run())


if __name__ == "__main__":
    main(Workload.from_arguments())
