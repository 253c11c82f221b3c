"""A database with patterns, a Qdrant collection, and the sync between them, for tests to play with."""

import asyncio
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from qdrant_client import AsyncQdrantClient

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.words import WORDS
from code_patterns.events.topics import Events
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.partition import Partition, partition
from code_patterns.sync.pattern import CONTENT_HASH, EMBEDDING_HASH, SYNC_TIMESTAMP, WORDS_HASH, recipe_of
from code_patterns.sync.runs import sync
from code_patterns.sync.sync_result import SyncResult
from code_patterns.sync.sync_settings import Interval, StreamSettings, SyncSettings
from tests.support.kept_connections import connected
from tests.support.real_functions import some_functions
from tests.support.roles import READER, SYNC, logged_in
from tests.support.words import words_of_one

INSERT = """
INSERT INTO pattern_lineage_nodes
    (id, pattern_id, pattern_name, pattern_type, pattern_data, metadata, file_path, language)
VALUES (%(id)s, %(pattern_id)s, %(pattern_name)s, %(pattern_type)s, %(pattern_data)s, %(metadata)s,
    %(file_path)s, %(language)s)
"""

HASHING = EmbeddingConfig(conn_id="patterns_embeddings", api="hashing", model="hashing-v1", dimension=64)


def rows(count: int, start: int = 0, *, copies: int = 1, **overrides: Any) -> list[dict[str, Any]]:
    """Rows of real functions, ready for INSERT; each embedded text is another one unless overrides make it the same.

    :param count: how many rows
    :param start: position of the first function
    :param copies: rows in succession that hold the same function
    """
    functions = some_functions(-(-count // copies), start)
    return [
        {
            "id": uuid.uuid4(),
            "pattern_id": f"{path}:{name}:{start + index}",
            "pattern_name": name[:255],
            "pattern_type": "code",
            "pattern_data": json.dumps({"code": code}),
            "metadata": json.dumps({"lines": code.count("\n") + 1}),
            "file_path": path,
            "language": "python",
            **overrides,
        }
        for index, (name, path, code) in enumerate(functions[index // copies] for index in range(count))
    ]


@dataclass
class TwoSides:
    """Both sides and the way between them.

    :param postgres: the database, for its administrator: tests write patterns and play with tables as it
    :param administrator: its login, instead of which runs are ``patterns_sync`` and searches ``patterns_reader``
    """

    postgres: PostgresConfig
    qdrant: QdrantConfig
    collection: str
    embedding: EmbeddingConfig = HASHING
    settings: dict[str, Any] = field(default_factory=dict)
    events: Events | None = None
    administrator: str = ""

    @property
    def as_sync(self) -> PostgresConfig:
        """The database as runs log in to it."""
        return logged_in(self.postgres, SYNC, self.administrator)

    @property
    def as_reader(self) -> PostgresConfig:
        """The database as searches and the page log in to it."""
        return logged_in(self.postgres, READER, self.administrator)

    def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        with connected(self.postgres.conninfo) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def insert(self, new: Iterable[Mapping[str, Any]]) -> None:
        with connected(self.postgres.conninfo) as connection, connection.transaction():
            connection.cursor().executemany(INSERT, list(new))

    def settle(self) -> None:
        """Wait until nothing older than this moment is open: on a shared server other tests hold transactions too."""
        with connected(self.postgres.conninfo) as connection:
            [(now,)] = connection.execute("SELECT pg_current_xact_id()::text::bigint")
            oldest = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
            deadline = time.monotonic() + 60
            while connection.execute(oldest).fetchall()[0][0] <= now:
                assert time.monotonic() < deadline, "a transaction of another test stays open"
                time.sleep(0.02)

    def sync(
        self,
        mode: str = "incremental",
        interval: tuple[datetime, datetime] | None = None,
        *,
        settled: bool = True,
        dag_run: str | None = None,
        **settings: Any,
    ) -> SyncResult:
        """Run a sync.

        :param settled: false where the test itself holds a transaction open or races
        :param dag_run: the DAG run that it is a try of; by default one of its own
        """
        if settled:
            self.settle()
        chosen = self.chosen(mode, interval=Interval(*interval) if interval else None, **settings)
        return asyncio.run(
            sync(
                self.as_sync,
                self.qdrant,
                self.embedding,
                chosen,
                RunIdentity(uuid.uuid4(), "dag", dag_run or f"run {uuid.uuid4()}", 1),
                self.events,
            )
        )

    def partition(self, **settings: Any) -> Partition:
        """Cut a full sync into shards."""
        return asyncio.run(partition(self.as_sync, self.qdrant, self.embedding, self.chosen("full", **settings)))

    def chosen(self, mode: str, **settings: Any) -> SyncSettings:
        """What the runs of this sides choose, with exceptions."""
        return (StreamSettings if mode == "stream" else SyncSettings)(
            **{
                "mode": mode,
                "collection": self.collection,
                "batch_size": 100,
                "delay_seconds": 0.0,
                "limit": None,
                "dry_run": False,
                "max_delete_fraction": 0.2,
                "allow_mass_delete": False,
                "rollback": False,
                "heal": False,
                "patience_seconds": 0.0,
                **self.settings,
                **settings,
            }
        )

    def points(self, name: str | None = None) -> dict[Any, dict[str, Any]]:
        """Payload by id of everything in the collection, ``vector`` and ``words`` among it."""

        async def read(client: AsyncQdrantClient) -> dict[Any, dict[str, Any]]:
            found: dict[Any, dict[str, Any]] = {}
            offset = None
            while True:
                records, offset = await client.scroll(
                    name or self.collection, limit=500, offset=offset, with_payload=True, with_vectors=True
                )
                for record in records:
                    key = record.id if isinstance(record.id, int) else uuid.UUID(str(record.id))
                    vectors = record.vector if isinstance(record.vector, dict) else {"": record.vector}
                    found[key] = {**(record.payload or {}), "vector": vectors[""], "words": vectors.get(WORDS)}
                if offset is None:
                    return found

        return self.with_client(read)

    def with_client(self, use: Any) -> Any:
        async def run() -> Any:
            client = await open_client(self.qdrant)
            try:
                return await use(client)
            finally:
                await client.close()

        return asyncio.run(run())

    def assert_equal_sides(self) -> None:
        """Qdrant holds exactly the code patterns of PostgreSQL, content included, read without the sync's help."""
        expected = {
            row[0]: row
            for row in self.execute(
                "SELECT id, pattern_name, pattern_data::text, metadata, file_path, pattern_id, language "
                "FROM pattern_lineage_nodes WHERE pattern_type = 'code'"
            )
        }
        points = self.points()
        assert points.keys() == expected.keys()
        for node_id, point in points.items():
            _, name, data, metadata, file_path, pattern_id, language = expected[node_id]
            value = json.loads(data)
            value = json.loads(value) if isinstance(value, str) else value
            assert point["code"] == (value.get("code") or "")
            assert point["text"].endswith("\n\nCode:\n" + point["code"])
            assert (point["pattern_name"], point["file_path"]) == (name, file_path or "")
            assert (point["pattern_id"], point["language"]) == (pattern_id, language or "unknown")
            assert point["metadata"] == (metadata or {})
            assert len(point["vector"]) == self.embedding.dimension
            words = words_of_one((_description(value, metadata), value.get("code") or ""), name, file_path or "")
            assert point["words"], node_id
            assert point["words"].indices == words.indices.tolist()
            np.testing.assert_allclose(point["words"].values, words.values, rtol=1e-6, equal_nan=False)
            assert {
                EMBEDDING_HASH,
                CONTENT_HASH,
                WORDS_HASH,
                SYNC_TIMESTAMP,
                "created_at",
                "pattern_type",
            } <= point.keys()

    def with_embedding(self, **changes: Any) -> "TwoSides":
        return replace(self, embedding=replace(self.embedding, **changes))

    @property
    def recipe(self) -> str:
        return recipe_of(self.embedding)


def _description(data: Mapping[str, Any], metadata: Any) -> str:
    return data.get("description") or (metadata.get("description") if isinstance(metadata, dict) else None) or ""
