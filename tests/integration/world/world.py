"""A database, a Qdrant and an embedding server, and what the world does to them while the sync runs.

PostgreSQL's rows are the model: whatever was done, a run that said success has brought exactly these rows to Qdrant.
"""

import json
import multiprocessing
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from qdrant_client import AsyncQdrantClient, models

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.sync_result import SyncResult
from tests.conftest import config_of
from tests.support import faulty_embeddings, faulty_qdrant
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import QdrantServer
from tests.support.two_sides import INSERT, TwoSides, rows

FORK = multiprocessing.get_context("fork")
POISON = "the embedding server refuses this"
TABLE = "pattern_lineage_nodes"
OWN_SESSION = "-c search_path=public -c default_transaction_read_only=off -c statement_timeout=0"
"""What the world's own sessions need, whatever was set for role and database."""


@dataclass
class World:
    """One sequence's own database and collection on servers that all sequences share.

    :param admin_dsn: maintenance database of the PostgreSQL server
    :param template: name of a migrated database without rows
    """

    admin_dsn: str
    template: str
    qdrant: QdrantServer
    embeddings: EmbeddingServer
    environment: dict[str, str] = field(default_factory=dict)
    """What the worker's environment says while a run works."""
    name: str = field(default_factory=lambda: f"patterns_world_{uuid.uuid4().hex[:12]}")
    snapshots: int = 0
    older_points: dict[Any, dict[str, Any]] = field(default_factory=dict)
    inserted: int = 0
    _open: psycopg.Connection[Any] | None = None

    def __post_init__(self) -> None:
        self._copy_database(self.template, self.name)
        embedding = EmbeddingConfig(
            conn_id="patterns_embeddings",
            api="ollama",
            model="any",
            dimension=self.embeddings.dimension,
            base_url=self.embeddings.url,
        )
        self.sides = TwoSides(
            config_of(make_conninfo(self.admin_dsn, dbname=self.name)),
            QdrantConfig(conn_id="patterns_qdrant", url=self.qdrant.url, timeout=10),
            self.name,
            embedding,
            {"batch_size": 5, "allow_mass_delete": True},
        )
        self.execute(f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS usage_count int DEFAULT 0")

    def close(self) -> None:
        """Leave nothing behind."""
        self.end_open(commit=False)
        self.qdrant.heal()
        self.embeddings.faults.clear()
        self.embeddings.markers.clear()
        self.sides.with_client(self._drop_collections)
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            for name in [self.name, *(self._snapshot(number) for number in range(self.snapshots))]:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Execute one statement in a session of the world's own."""
        with self.session() as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    @property
    def _conninfo(self) -> str:
        return make_conninfo(self.sides.postgres.conninfo, options=OWN_SESSION)

    # What applications do

    def insert(self, count: int, **changes: Any) -> None:
        """Insert rows of real functions."""
        with self.session() as connection:
            connection.cursor().executemany(INSERT, rows(count, self.inserted, **changes))
        self.inserted += count

    def update(self, assignment: str, share: int, parameters: Mapping[str, Any] | None = None) -> None:
        """Change every ``share``-th row, by id."""
        self.execute(
            f"UPDATE {TABLE} SET {assignment} WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) "
            f"AS number FROM {TABLE}) AS numbered WHERE number %% %(share)s = 0)",
            {"share": share, **(parameters or {})},
        )

    def delete(self, share: int) -> None:
        """Delete every ``share``-th row."""
        self.execute(
            f"DELETE FROM {TABLE} WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS number "
            f"FROM {TABLE}) AS numbered WHERE number %% %(share)s = 0)",
            {"share": share},
        )

    def truncate(self) -> None:
        """Empty the table."""
        self.end_open(commit=False)
        self.execute(f"TRUNCATE {TABLE} CASCADE")

    # Transactions that commit late

    @property
    def is_open(self) -> bool:
        """Whether a transaction with changes is open."""
        return self._open is not None

    def begin(self, count: int) -> None:
        """Insert rows in a transaction that stays open."""
        if self._open is None:
            self._open = psycopg.connect(self._conninfo)
            self._open.cursor().executemany(INSERT, rows(count, self.inserted))
            self.inserted += count

    def end_open(self, *, commit: bool) -> None:
        """End the transaction that is open, if one is."""
        connection, self._open = self._open, None
        if connection is not None:
            (connection.commit if commit else connection.rollback)()
            connection.close()

    # Settings

    def set_for(self, what: str, setting: str, value: str) -> None:
        """Change a setting of the database, or of the role in this database."""
        owner = sql.SQL("DATABASE {}").format(sql.Identifier(self.name))
        if what == "role":
            owner = sql.SQL("ROLE {} IN DATABASE {}").format(
                sql.Identifier(self.sides.postgres.user), sql.Identifier(self.name)
            )
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER {} SET {} = {}").format(owner, sql.Identifier(setting), sql.Literal(value)))

    # Triggers and the table

    @contextmanager
    def session(self, *statements: str) -> Iterator[psycopg.Connection[Any]]:
        """Work in one transaction that begins with these statements."""
        with psycopg.connect(self._conninfo) as connection:
            for statement in statements:
                connection.execute(statement)
            yield connection

    def as_replica(self, share: int) -> None:
        """Change and delete rows as logical replication applies them."""
        with self.session("SET session_replication_role = replica") as connection:
            connection.execute(f'UPDATE {TABLE} SET pattern_data = \'{{"code": "replicated"}}\' WHERE generation = 1')
            connection.execute(
                f"DELETE FROM {TABLE} WHERE id IN (SELECT id FROM {TABLE} ORDER BY id LIMIT %s)", [share]
            )

    def without_triggers(self, how: str) -> None:
        """Change rows after every trigger of the table was disabled or dropped for good."""
        triggers = [
            name
            for (name,) in self.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [TABLE]
            )
        ]
        statements = {
            "disable": [f"ALTER TABLE {TABLE} DISABLE TRIGGER USER"],
            "drop": [f'DROP TRIGGER "{name}" ON {TABLE}' for name in triggers],
        }[how]
        with self.session(*statements) as connection:
            connection.execute(f'UPDATE {TABLE} SET pattern_data = \'{{"code": "unseen"}}\'')
            connection.execute(f"DELETE FROM {TABLE} WHERE id = (SELECT id FROM {TABLE} ORDER BY id LIMIT 1)")

    def swap_table(self) -> None:
        """Put a copy of the table in its place, with other content and without its triggers."""
        with self.session(
            f"CREATE TABLE swapped (LIKE {TABLE} INCLUDING ALL)",
            f"INSERT INTO swapped SELECT * FROM {TABLE} ORDER BY id OFFSET 1",
            f"ALTER TABLE {TABLE} RENAME TO replaced",
            f"ALTER TABLE swapped RENAME TO {TABLE}",
            f'UPDATE {TABLE} SET pattern_data = \'{{"code": "swapped"}}\'',
            "DROP TABLE replaced CASCADE",
        ):
            pass

    # Restores of either side

    def snapshot(self) -> None:
        """Copy the database, as a dump would."""
        if self._open is None:
            self._copy_database(self.name, self._snapshot(self.snapshots))
            self.snapshots += 1

    def restore_database(self) -> None:
        """Put the newest copy in the database's place."""
        if self.snapshots == 0:
            return
        self.end_open(commit=False)
        self.snapshots -= 1
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            current, copy = sql.Identifier(self.name), sql.Identifier(self._snapshot(self.snapshots))
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(current))
            admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(copy, current))

    def remember_points(self) -> None:
        """Copy the points, as a snapshot of Qdrant would."""
        with suppress(Exception):
            self.older_points = self.sides.points()

    def restore_points(self) -> None:
        """Put the points that were remembered in the place of those there are, in the same collection."""

        async def put(client: AsyncQdrantClient) -> None:
            there, _ = await client.scroll(self.name, limit=10_000, with_payload=False)
            if there:
                await client.delete(self.name, models.PointIdsList(points=[record.id for record in there]), wait=True)
            points = [
                models.PointStruct(
                    id=str(key), vector=value["vector"], payload={k: v for k, v in value.items() if k != "vector"}
                )
                for key, value in self.older_points.items()
            ]
            if points:
                await client.upsert(self.name, points, wait=True)

        if self.older_points:
            self.sides.with_client(put)

    def lose_collection(self) -> None:
        """Drop the collection that the alias names, and so the alias."""

        async def drop(client: AsyncQdrantClient) -> None:
            for alias in (await client.get_aliases()).aliases:
                if alias.alias_name == self.name:
                    await client.delete_collection(alias.collection_name)

        self.sides.with_client(drop)

    def move_alias(self) -> None:
        """Let the alias name an empty collection of the same shape and metadata."""

        async def move(client: AsyncQdrantClient) -> None:
            for alias in (await client.get_aliases()).aliases:
                if alias.alias_name == self.name:
                    config = (await client.get_collection(alias.collection_name)).config
                    other = f"{self.name}_{uuid.uuid4().hex[:6]}"
                    await client.create_collection(
                        other, vectors_config=config.params.vectors, metadata=config.metadata
                    )
                    created = models.CreateAlias(collection_name=other, alias_name=self.name)
                    await client.update_collection_aliases(
                        change_aliases_operations=[
                            models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self.name)),
                            models.CreateAliasOperation(create_alias=created),
                        ]
                    )

        self.sides.with_client(move)

    # Faults of servers

    def poison(self, count: int) -> None:
        """Insert rows that the embedding server refuses until it is mended."""
        self.insert(count, pattern_data=json.dumps({"code": POISON}))
        self.embeddings.markers[POISON] = faulty_embeddings.status(400)

    def mend_embeddings(self) -> None:
        """Let the embedding server take every text."""
        self.embeddings.markers.clear()

    def trouble(self, which: str) -> None:
        """Let the next requests meet passing trouble."""
        if which == "embeddings":
            self.embeddings.faults.extend([faulty_embeddings.Fault(), faulty_embeddings.status(503)])
        else:
            fault = {
                "lost": faulty_qdrant.LOST_ANSWER,
                "broken": faulty_qdrant.BROKEN_REQUEST,
                "busy": faulty_qdrant.BUSY,
                "unavailable": faulty_qdrant.UNAVAILABLE,
            }[which]
            self.qdrant.meet("upsert", fault)
            self.qdrant.meet("delete", fault)

    def outage(self) -> None:
        """Let every write to Qdrant fail until it is healed."""
        self.qdrant.always["upsert"] = faulty_qdrant.UNAVAILABLE
        self.qdrant.always["delete"] = faulty_qdrant.UNAVAILABLE

    def heal(self) -> None:
        """Let both servers behave."""
        self.qdrant.heal()
        self.embeddings.faults.clear()

    # Runs

    def run(self, mode: str) -> SyncResult:
        """Run the sync as a worker with this environment does."""
        with mock.patch.dict(os.environ, self.environment):
            if mode == "interval":
                now = datetime.now(UTC)
                return self.sides.sync("full", (now - timedelta(days=1), now + timedelta(days=1)), settled=False)
            return self.sides.sync(mode, settled=False)

    def run_killed(self, mode: str, requests: int) -> None:
        """Run the sync in a process of its own, and kill it when it has sent so many requests to Qdrant."""
        process = FORK.Process(target=self._run_quietly, args=(mode,))
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

    def _run_quietly(self, mode: str) -> None:
        with suppress(Exception):
            self.run(mode)

    # The invariant

    def unequal(self) -> set[uuid.UUID]:
        """Ids whose content differs between the two sides, read without the sync's help."""
        found = self.execute(
            "SELECT id, pattern_name, pattern_data ->> 'code', metadata, file_path, pattern_id, "
            f"extract(epoch FROM created_at) FROM {TABLE} WHERE pattern_type = 'code'"
        )
        expected = {row[0]: (*row[1:-1], round(float(row[-1]), 3)) for row in found}
        held = {key: _content(point, self.embeddings) for key, point in self.sides.points().items()}
        return {key for key in expected.keys() | held.keys() if expected.get(key) != held.get(key)}

    def dead_letters(self) -> set[uuid.UUID]:
        """Ids that the runs have parked."""
        return {row[0] for row in self.execute("SELECT node_id FROM public.pattern_sync_dead_letters")}

    def _copy_database(self, source: str, target: str) -> None:
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [source],
            )
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(target), sql.Identifier(source))
            )

    def _snapshot(self, number: int) -> str:
        return f"{self.name}_s{number}"

    async def _drop_collections(self, client: AsyncQdrantClient) -> None:
        for item in (await client.get_collections()).collections:
            if item.name.startswith(self.name):
                await client.delete_collection(item.name)


def _content(point: Mapping[str, Any], embeddings: EmbeddingServer) -> tuple[Any, ...] | None:
    """What a point says, in the form of a row; ``None`` when its vector or the form of its time is wrong."""
    expected = embeddings.vector(point["text"])
    if max(abs(one - other) for one, other in zip(point["vector"], expected, strict=True)) > 1e-5:
        return None
    if not point["text"].endswith("\n\nCode:\n" + point["code"]):
        return None
    created = datetime.fromisoformat(point["created_at"])
    if created.utcoffset() != timedelta(0):
        return None
    fields = (point["pattern_name"], point["code"], point["metadata"], point["file_path"], point["pattern_id"])
    return (*fields, round(created.timestamp(), 3))
