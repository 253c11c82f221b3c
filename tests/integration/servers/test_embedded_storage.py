"""The embedded storage of Qdrant, which one process at a time may have open."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from qdrant_client import models

from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_config import QdrantConfig

TURNS = 40


def test_nobody_works_with_what_was_there_before_the_last_one_wrote(tmp_path: Path) -> None:
    """Each adds one to a number in the collection's metadata; a stale one would write an old number."""
    storage = QdrantConfig(conn_id="patterns_qdrant", path=str(tmp_path / "qdrant"))

    async def create() -> None:
        async with Qdrant.open(storage) as qdrant:
            vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
            await qdrant.client.create_collection("numbers", vectors_config=vectors, metadata={"number": 0})

    async def add(turns: int) -> None:
        for _ in range(turns):
            async with Qdrant.open(storage) as qdrant:
                stored = (await qdrant.client.get_collection("numbers")).config.metadata or {}
                await qdrant.client.update_collection("numbers", metadata={"number": stored["number"] + 1})

    async def read() -> int:
        async with Qdrant.open(storage) as qdrant:
            return int(((await qdrant.client.get_collection("numbers")).config.metadata or {})["number"])

    asyncio.run(create())
    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(asyncio.run, add(TURNS)) for _ in range(3)]:
            done.result()
    assert asyncio.run(read()) == 3 * TURNS


def test_the_storage_writes_a_log_ahead_from_its_first_point_on(tmp_path: Path) -> None:
    storage = QdrantConfig(conn_id="patterns_qdrant", path=str(tmp_path / "qdrant"))
    file = tmp_path / "qdrant" / "collection" / "one" / "storage.sqlite"

    def mode() -> str:
        with closing(sqlite3.connect(file)) as database:
            return str(database.execute("PRAGMA journal_mode").fetchone()[0])

    async def work() -> int:
        async with Qdrant.open(storage) as qdrant:
            vectors = models.VectorParams(size=2, distance=models.Distance.COSINE)
            await qdrant.client.create_collection("one", vectors_config=vectors)
            assert mode() == "wal"
            await qdrant.client.upsert("one", [models.PointStruct(id=1, vector=[0.0, 1.0])])
        with closing(sqlite3.connect(file)) as database:
            # As another program leaves it.
            database.execute("PRAGMA journal_mode = DELETE")
        async with Qdrant.open(storage) as qdrant:
            assert mode() == "wal"
            return (await qdrant.client.count("one")).count

    assert asyncio.run(work()) == 1
