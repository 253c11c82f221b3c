"""How long a new row takes until a search finds it, while the stream works."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from code_patterns.search import Hit, Searcher, SearchQuery
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_psycopg import connect_blocking
from code_patterns.servers.qdrant_embedded import BusyStorageError
from demo.collection import searcher_of
from demo.errors import DemoError
from demo.harvest import Pattern
from demo.installation import add, query

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.01
HITS = 2
QUESTION = "call a function again after a failure, with growing pauses"
ROW = Pattern(
    id=UUID("0c3b1f52-7d0a-5a0e-9b1e-3a4f6c2d8e11"),
    pattern_id="demo:retry_with_backoff",
    pattern_name="retry_with_backoff",
    pattern_type="code",
    pattern_version="1.0.0",
    pattern_data=json.dumps(
        {
            "code": "def retry_with_backoff(function, attempts=5, pause=0.1):\n"
            '    """Call a function again after a failure, with growing pauses."""\n'
            "    for attempt in range(attempts):\n"
            "        try:\n"
            "            return function()\n"
            "        except OSError:\n"
            "            if attempt == attempts - 1:\n"
            "                raise\n"
            "            time.sleep(pause * 2**attempt)\n"
        }
    ),
    metadata=json.dumps({"kind": "function"}),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    file_path="demo/retry.py",
    language="python",
)
"""The row that is inserted."""


@dataclass(frozen=True)
class Arrival:
    """When the new row could be found.

    :param recorded_seconds: from its commit until the stream had recorded that Qdrant holds it
    :param found_seconds: from its commit until a search had returned it
    :param hits: what the search returned, the best first
    """

    recorded_seconds: float
    found_seconds: float
    hits: Sequence[Hit]

    @property
    def is_found(self) -> bool:
        """Whether the row is the best hit."""
        return self.hits[0].id == str(ROW.id)


def is_streaming(database: PostgresConfig) -> bool:
    """Whether a stream has begun to look for changes."""
    with connect_blocking(database) as connection:
        [(streaming,)] = connection.execute(query("is_streaming")).fetchall()
        return bool(streaming)


def insert_and_find(database: PostgresConfig) -> Arrival:
    """Insert the row, search for it, and measure both from its commit.

    The searcher is open before, as in a program that searches all day. An embedded storage is open in one process at a
    time. So the search begins when the stream has recorded the row, and waits until the stream has closed the storage.

    :raises DemoError: no stream takes the row, or the stream does not close the storage
    """
    return asyncio.run(_insert_and_find(database, SearchQuery(text=QUESTION, limit=HITS)))


async def _insert_and_find(database: PostgresConfig, question: SearchQuery) -> Arrival:
    async with searcher_of(database) as searcher:
        await _search(searcher, question)
        committed, recorded = await asyncio.to_thread(_insert, database)
        hits = await _search(searcher, question)
    return Arrival(recorded - committed, time.monotonic() - committed, hits)


def _insert(database: PostgresConfig) -> tuple[float, float]:
    """Insert the row, and wait until the stream has recorded it; return both times."""
    with connect_blocking(database, autocommit=True) as connection:
        add(connection, [ROW])
        committed = time.monotonic()
        while connection.execute(query("is_recorded"), {"id": ROW.id}).fetchone() != (True,):
            if time.monotonic() - committed > PATIENCE_SECONDS:
                raise DemoError(f"No stream has taken the row {ROW.id} within {PATIENCE_SECONDS:.0f} s.")
            time.sleep(POLL_SECONDS)
    return committed, time.monotonic()


async def _search(searcher: Searcher, question: SearchQuery) -> Sequence[Hit]:
    begun = time.monotonic()
    while True:
        try:
            return (await searcher.search(question)).hits
        except BusyStorageError:
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise
