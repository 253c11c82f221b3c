"""A database, a Qdrant and an embedding server, and the runs between them.

PostgreSQL's rows are the model: whatever was done, a run that said success has brought exactly these rows to Qdrant.
"""

import json
import multiprocessing
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from uuid import UUID

from qdrant_client import QdrantClient

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.sync_result import SyncResult
from tests.integration.world.database import Database
from tests.integration.world.points import Points, Snapshot
from tests.support import faulty_embeddings, faulty_qdrant
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import QdrantServer
from tests.support.two_sides import TwoSides

FORK = multiprocessing.get_context("fork")
POISON = "the embedding server refuses this"
TROUBLE = {
    "lost": faulty_qdrant.LOST_ANSWER,
    "broken": faulty_qdrant.BROKEN_REQUEST,
    "busy": faulty_qdrant.BUSY,
    "unavailable": faulty_qdrant.UNAVAILABLE,
}
FIRST_ROWS = 6


@dataclass
class World:
    """One sequence's own database and collection, on servers that all sequences share.

    :param database: the side of the rows
    :param points: the side of the points
    :param qdrant: its server
    :param embeddings: the embedding server
    """

    database: Database
    points: Points
    qdrant: QdrantServer
    embeddings: EmbeddingServer
    environment: dict[str, str] = field(default_factory=dict)
    """What the worker's environment says while a run works."""

    def run(self, kind: str, **settings: Any) -> SyncResult:
        """Run the sync as a worker with this environment does."""
        if not self.database.is_open:
            self.database.settle()
        embedding = EmbeddingConfig(
            conn_id="patterns_embeddings",
            api="ollama",
            model="any",
            dimension=self.embeddings.dimension,
            base_url=self.embeddings.url,
        )
        qdrant = QdrantConfig(conn_id="patterns_qdrant", url=self.qdrant.url, timeout=10)
        chosen = {"batch_size": 5, "allow_mass_delete": True}
        sides = TwoSides(self.database.config, qdrant, self.points.alias, embedding, chosen)
        interval = None
        if kind == "interval":
            now = datetime.now(UTC)
            kind, interval = "incremental", (now - timedelta(days=1), now + timedelta(days=1))
        with mock.patch.dict(os.environ, self.environment):
            return sides.sync(kind, interval, settled=False, **settings)

    def run_killed(self, kind: str, requests: int) -> None:
        """Run the sync in a process of its own, and kill it when it has sent so many requests to Qdrant."""
        process = FORK.Process(target=self._run_quietly, args=(kind,))
        seen = 0

        def count(_operation: str, _count: int) -> None:
            nonlocal seen
            seen += 1
            if seen == requests and process.pid:
                os.kill(process.pid, signal.SIGKILL)

        self.qdrant.before = count
        process.start()
        process.join(60)
        self.qdrant.before = None
        assert process.exitcode is not None, "the run hangs"

    def _run_quietly(self, kind: str) -> None:
        with suppress(Exception):
            self.run(kind)

    def unequal(self) -> set[UUID]:
        """Ids whose content differs between the two sides, read without the sync's help."""
        wanted, said = self.database.contents(), self.points.contents(self.embeddings)
        return {key for key in wanted.keys() | said.keys() if wanted.get(key) != said.get(key)}

    def dead_letters(self) -> set[UUID]:
        """Ids that the runs have parked."""
        return self.database.dead_letters(self.points.physical, self.points.identity)

    # Faults of servers

    def poison(self) -> None:
        """Insert a row that the embedding server refuses until it is mended."""
        self.database.insert(1, pattern_data=json.dumps({"code": POISON}))
        self.embeddings.markers[POISON] = faulty_embeddings.status(400)

    @contextmanager
    def trouble(self, which: str) -> Iterator[None]:
        """Let the next requests meet trouble that passes."""
        if which == "embeddings":
            self.embeddings.faults.extend([faulty_embeddings.Fault(), faulty_embeddings.status(503)])
        else:
            self.qdrant.meet("upsert", TROUBLE[which])
            self.qdrant.meet("delete", TROUBLE[which])
        try:
            yield
        finally:
            self.qdrant.heal()
            self.embeddings.faults.clear()

    @contextmanager
    def outage(self, where: str) -> Iterator[None]:
        """Let a server be down; ``writes`` lets only writes to Qdrant fail."""
        if where == "writes":
            self.qdrant.always["upsert"] = self.qdrant.always["delete"] = faulty_qdrant.UNAVAILABLE
        elif where == "qdrant":
            self.qdrant.go_down()
        elif where == "embeddings":
            self.embeddings.always = faulty_embeddings.status(503)
        else:
            self.database.admit(0)
        try:
            yield
        finally:
            self.qdrant.heal()
            self.embeddings.always = None
            self.database.admit(-1)

    def mend_embeddings(self) -> None:
        """Let the embedding server take every text."""
        self.embeddings.markers.clear()

    def close(self) -> None:
        """Leave nothing behind."""
        self.embeddings.markers.clear()
        self.points.close()
        self.database.close()


class Start:
    """Both sides as a first full sync has left them; each world begins as a copy of it.

    :param admin_dsn: maintenance database of the PostgreSQL server
    :param template: name of a migrated database without rows
    :param qdrant: the Qdrant server
    :param embeddings: the embedding server
    """

    def __init__(self, admin_dsn: str, template: str, qdrant: QdrantServer, embeddings: EmbeddingServer) -> None:
        self._admin_dsn = admin_dsn
        self._servers = qdrant, embeddings
        self._client = QdrantClient(url=qdrant.url, check_compatibility=False)
        self.name = f"patterns_world_{uuid.uuid4().hex[:8]}"
        self._copy = f"{self.name}_start"
        self._points: Snapshot | None = None
        # Its name is part of a database's identity: each world's database has the same one.
        first = self._world(inserted=0)
        first.database.administer("CREATE ROLE {worker} LOGIN PASSWORD 'worker'", worker=f"{self.name}_worker")
        first.database.copy(template, self.name)
        with first.database.session() as session:
            session.execute("ALTER TABLE pattern_lineage_nodes ADD COLUMN IF NOT EXISTS usage_count int DEFAULT 0")
            session.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {self.name}_worker")
            session.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {self.name}_worker")
        first.database.insert(FIRST_ROWS)
        first.run("full")
        assert first.unequal() == set()
        self._points = first.points.snapshot()
        first.database.copy(self.name, self._copy)
        first.database.names.remove(self._copy)
        first.close()

    def __call__(self) -> World:
        """Make a world."""
        world = self._world(inserted=FIRST_ROWS)
        world.database.copy(self._copy, self.name)
        assert self._points
        world.points.make(self._points)
        return world

    def _world(self, inserted: int) -> World:
        database = Database(self._admin_dsn, f"{self.name}_worker", self.name, inserted)
        return World(database, Points(self._client, self.name), *self._servers)

    def close(self) -> None:
        """Leave nothing behind."""
        self._client.close()
        database = self._world(inserted=0).database
        database.administer("DROP DATABASE IF EXISTS {copy} WITH (FORCE)", copy=self._copy)
        database.administer("DROP ROLE IF EXISTS {worker}", worker=f"{self.name}_worker")
