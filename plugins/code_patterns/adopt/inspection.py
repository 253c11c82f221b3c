"""Read both sides as they are, and find out what a first sync would do."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from psycopg.rows import args_row

from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError, PatternsError
from code_patterns.migrations import runner
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import database_errors, hidden_rows
from code_patterns.servers.postgres_psycopg import connect
from code_patterns.servers.qdrant import Qdrant, refuse_old_qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sql import query
from code_patterns.sync.capture import refuse_other_than_table
from code_patterns.sync.collection import Collection, Destination, StoredCollection, read_stored
from code_patterns.sync.diff import EMBEDS, Action, Fingerprint, PointId, decide
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.orphans import Points, refuse_mass_delete
from code_patterns.sync.pattern import SourceRow
from code_patterns.sync.publication import read_aliases
from code_patterns.sync.resolution import resolve
from code_patterns.sync.source import PatternSource
from code_patterns.sync.stored_points import OTHERS, StoredPoints
from code_patterns.sync.streams import joined, prefetched
from code_patterns.sync.sync_settings import SyncSettings

TABLES = (
    *("pattern_lineage_nodes", "pattern_quality_metrics", "pattern_templates", "pattern_usage_events"),
    *("pattern_relationships", "pattern_analytics", "pattern_schema_migrations", "pattern_sync_checkpoints"),
)
"""Tables of this project that a person may want to know about."""
SAMPLED_TEXTS = 64
"""Most texts that are embedded to measure how long that takes."""
SAMPLED_POINTS = 1_000
"""Points whose payload keys are looked at."""
FETCHED_ROWS = 200
SHOWN_IDS = 5


@dataclass
class Database:
    """What the database has.

    :ivar tables: names of those of :data:`TABLES` that are there
    :ivar types: number of patterns by type
    :ivar plan: what ``schema_migration`` would do, in words
    """

    tables: Sequence[str] = ()
    types: Sequence[tuple[str, int]] = ()
    plan: str = ""


@dataclass
class Target:
    """What Qdrant has under the collection's name.

    :ivar version: of the server; empty if it does not say
    :ivar physical: the real collection behind the name; ``None`` if there is none
    :ivar stored: that collection
    :ivar curated: payload keys of others, with the number of points that have them among the first
        :data:`SAMPLED_POINTS`
    """

    version: str = ""
    physical: str | None = None
    stored: StoredCollection | None = None
    curated: Counter[str] = field(default_factory=Counter)


@dataclass
class Inspection:
    """What was found; the lists are for people.

    :ivar database: one side
    :ivar target: the other one
    :ivar actions: number of patterns by what a first sync would do
    :ivar shared: number of ids that both sides have
    :ivar points: points compared, those without a row among them
    :ivar unreadable: some rows that cannot be read, with the reason
    :ivar lone_rows: some ids of rows without a point
    :ivar lone_points: some ids of points without a row
    :ivar texts_per_second: how fast the embedding server was; ``None`` if nothing was measured
    :ivar slowness: why nothing was measured
    :ivar blockers: what a person must change before the first sync
    """

    database: Database = field(default_factory=Database)
    target: Target = field(default_factory=Target)
    actions: Counter[Action] = field(default_factory=Counter)
    shared: int = 0
    points: Points = field(default_factory=Points)
    unreadable: list[str] = field(default_factory=list)
    lone_rows: list[UUID] = field(default_factory=list)
    lone_points: list[PointId] = field(default_factory=list)
    texts_per_second: float | None = None
    slowness: str = ""
    blockers: list[str] = field(default_factory=list)

    @property
    def to_embed(self) -> int:
        """Number of texts that a first sync would embed."""
        return sum(self.actions[action] for action in EMBEDS)

    @property
    def seconds(self) -> float | None:
        """About how long a first sync would take; ``None`` if that was not measured."""
        return None if self.texts_per_second is None else self.to_embed / self.texts_per_second


async def inspect(postgres: PostgresConfig, qdrant: QdrantConfig, embedding: EmbeddingConfig, name: str) -> Inspection:
    """Read both sides. PostgreSQL is read in one read-only transaction; Qdrant is sent reading requests only.

    :param postgres: the database
    :param qdrant: the Qdrant server
    :param embedding: how a first sync would embed
    :param name: alias or collection in Qdrant
    :raises PatternsError: one of the two servers cannot be read
    """
    found = Inspection()
    await _plan(postgres, found)
    async with await connect(postgres) as connection, Qdrant.open(qdrant) as opened:
        await connection.set_read_only(True)
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        found.target.version = await refuse_old_qdrant(opened)
        async with database_errors(postgres, connection):
            await _tables(postgres, connection, found)
            collection = await _collection(opened, postgres, embedding, name, found)
            texts = await _compare(connection, opened, collection, found)
    try:
        settings = SyncSettings("full", name)
        refuse_mass_delete(found.points, sum(found.actions.values()), None, settings, done="Nothing was written.")
    except ConfigurationError as error:
        found.blockers.append(str(error))
    await _measure(embedding, texts, found)
    return found


async def _plan(postgres: PostgresConfig, found: Inspection) -> None:
    try:
        plan = await asyncio.to_thread(runner.plan, postgres, "up", None)
        found.database.plan = plan.summary
        found.blockers.extend(plan.obstacles)
    except ConfigurationError as error:
        found.blockers.append(str(error))


async def _tables(postgres: PostgresConfig, connection: psycopg.AsyncConnection, found: Inspection) -> None:
    cursor = await connection.execute(query("adopt_tables"), {"names": list(TABLES)})
    [(kind, tables, hidden)] = await cursor.fetchall()
    refuse_other_than_table(kind)
    if hidden:
        raise hidden_rows(["pattern_lineage_nodes"], f"PostgreSQL at {postgres.address}", postgres.user)
    found.database.tables = tables
    if kind is not None:
        found.database.types = await (await connection.execute(query("adopt_types"))).fetchall()


async def _collection(
    qdrant: Qdrant, postgres: PostgresConfig, embedding: EmbeddingConfig, name: str, found: Inspection
) -> Collection:
    """The collection that readers see, as a first sync would treat it."""
    listed = await qdrant.call("looking for the collections", qdrant.client.get_collections)
    physical = name if name in {item.name for item in listed.collections} else (await read_aliases(qdrant)).get(name)
    found.target.physical = physical
    if physical is not None:
        found.target.stored = await read_stored(qdrant, physical)
        await _look_for_curated_keys(qdrant, physical, found)
    present = Collection(name, physical or name, embedding, found.target.stored)
    try:
        chosen = await resolve(qdrant, name, embedding, Destination.CONNECTION, await _identity(postgres))
    except ConfigurationError as error:
        found.blockers.append(str(error))
        return present
    return present if chosen.outdated else chosen


async def _identity(postgres: PostgresConfig) -> DatabaseIdentity:
    """The identity of the database; before migration 015 it has none, and so it owns no collection."""
    try:
        async with PatternSource.open(postgres) as source:
            return await source.identity()
    except ConfigurationError:
        return DatabaseIdentity("none yet", postgres.database, "", f"{postgres.host}:{postgres.port}")


async def _look_for_curated_keys(qdrant: Qdrant, physical: str, found: Inspection) -> None:
    records, _ = await qdrant.call(
        f"reading payloads of '{physical}'",
        lambda: qdrant.client.scroll(physical, limit=SAMPLED_POINTS, with_payload=OTHERS, with_vectors=False),
    )
    for record in records:
        found.target.curated.update((record.payload or {}).keys())


async def _compare(
    connection: psycopg.AsyncConnection, qdrant: Qdrant, collection: Collection, found: Inspection
) -> list[str]:
    """Compare all code patterns with all points.

    :return: some texts that a first sync would embed, chosen at random
    """
    texts: list[str] = []
    chance = random.Random(0)  # noqa: S311 - a sample, not a secret
    rows = _rows(connection) if found.database.types else _nothing()
    points = _uuid_points(StoredPoints(qdrant, collection), found)
    async for some, prints in joined(prefetched(rows), prefetched(points)):
        by_id = {point.id: point for point in prints}
        for row in some:
            point = by_id.pop(row.id, None)
            change = decide(row.id, row, point, collection.recipe, words=collection.words)
            found.actions[change.action] += 1
            found.shared += point is not None
            if point is None and len(found.lone_rows) < SHOWN_IDS:
                found.lone_rows.append(row.id)
            if change.error and len(found.unreadable) < SHOWN_IDS:
                found.unreadable.append(f"{row.id}: {change.error}")
            if change.action in EMBEDS and change.pattern:
                if len(texts) < SAMPLED_TEXTS:
                    texts.append(change.pattern.text)
                elif (place := chance.randrange(found.to_embed)) < SAMPLED_TEXTS:
                    texts[place] = change.pattern.text
        for node_id in by_id:
            _lone_point(node_id, found)
            if isinstance(node_id, UUID):
                found.points.add_orphan(node_id)
    return texts


async def _uuid_points(stored: StoredPoints, found: Inspection) -> AsyncIterator[list[Fingerprint]]:
    """The points with a UUID; one with an integer id has no row."""
    async for page in stored.pages():
        found.points.seen += len(page)
        for point in page:
            if isinstance(point.id, int):
                found.points.foreign.append(point.id)
                _lone_point(point.id, found)
        if page := [point for point in page if not isinstance(point.id, int)]:
            yield page


def _lone_point(node_id: PointId, found: Inspection) -> None:
    if len(found.lone_points) < SHOWN_IDS:
        found.lone_points.append(node_id)


async def _rows(connection: psycopg.AsyncConnection) -> AsyncIterator[list[SourceRow]]:
    async with connection.cursor("adopt", row_factory=args_row(SourceRow)) as cursor:
        await cursor.execute(query("adopt_rows"))
        while rows := await cursor.fetchmany(FETCHED_ROWS):
            yield rows


async def _nothing() -> AsyncIterator[list[SourceRow]]:
    return
    yield


async def _measure(embedding: EmbeddingConfig, texts: Sequence[str], found: Inspection) -> None:
    """Embed some texts as a sync does, several requests at once."""
    embedder = open_embedder(embedding)
    try:
        await embedder.check()
        size = -(-len(texts) // embedding.concurrency) or 1
        started = time.monotonic()
        parts = [texts[start : start + size] for start in range(0, len(texts), size)]
        await asyncio.gather(*(embedder.embed_documents(part) for part in parts))
        if texts:
            found.texts_per_second = len(texts) / max(time.monotonic() - started, 1e-6)
    except ConfigurationError as error:
        found.blockers.append(str(error))
        found.slowness = "see above"
    except PatternsError as error:
        found.slowness = str(error)
    finally:
        await embedder.aclose()
