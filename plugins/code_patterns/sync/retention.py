"""Delete what was kept for long enough: the one home of it for both sides of the sync.

A dry run sends the same statements, in transactions that are rolled back.
"""

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

from code_patterns import log_table
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.patience import patiently
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import Qdrant, refuse_old_qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.collection import read_stored
from code_patterns.sync.old_collections import Left, OldCollections
from code_patterns.sync.record import forget
from code_patterns.sync.source import PatternSource
from code_patterns.sync.sync_settings import RetentionSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetentionResult:
    """What was deleted, or in a dry run what would be.

    :param runs: rows of the run histories
    :param tombstones: tombstones
    :param checkpoints: collections whose checkpoint and dead letters were deleted because they are gone
    :param parked: dead letters of rows that are gone or no longer code
    :param old: names of old collections in Qdrant
    :param dangling: names of collections in Qdrant that were never finished
    :param dry_run: whether nothing was deleted
    """

    runs: int
    tombstones: int
    checkpoints: int
    parked: int
    old: tuple[str, ...]
    dangling: tuple[str, ...]
    dry_run: bool = False

    def as_xcom(self) -> dict[str, Any]:
        """Counts and names."""
        return {**self._counts, "deleted_collections": [*self.old, *self.dangling], "dry_run": self.dry_run}

    @property
    def _counts(self) -> dict[str, int]:
        return {
            "runs": self.runs,
            "tombstones": self.tombstones,
            "checkpoints": self.checkpoints,
            "parked": self.parked,
            "collections": len(self.old),
            "dangling": len(self.dangling),
        }

    @property
    def _verb(self) -> str:
        return "would be deleted" if self.dry_run else "deleted"

    def table(self) -> str:
        """The result for the task log."""
        title = f"{self._verb[0].upper()}{self._verb[1:]}:"
        return "\n".join([title, *(log_table.row(name, count) for name, count in self._counts.items())])

    def summary(self) -> str:
        """The result in one line."""
        told = [f"{count:,} {name}" for name, count in self._counts.items() if count]
        if not told:
            return "nothing is old enough to be deleted" if self.dry_run else "nothing was old enough to be deleted"
        names = ", ".join([*self.old, *self.dangling])
        return f"{', '.join(told)} {self._verb}{f': {names}' if names else ''}"


async def prune(postgres: PostgresConfig, qdrant: QdrantConfig, settings: RetentionSettings) -> RetentionResult:
    """Delete old runs, tombstones, checkpoints, dead letters and collections.

    What only PostgreSQL holds goes first, so that a Qdrant that refuses to delete does not let the tables grow.

    :param postgres: the database of the patterns
    :param qdrant: where their points are
    :param settings: how long each is kept
    :raises PatternsError: a server is away or refuses; what was deleted until then stays so
    """
    opened = partial(_open, postgres, qdrant)
    (source, session, server), held = await patiently(opened, settings.patience_seconds)
    async with held:
        count = partial(_count, session, dry_run=settings.dry_run)
        runs = await count("retention_runs", settings.run_days) if settings.run_days else 0
        checkpoints = parked = 0
        if settings.tombstone_days:
            checkpoints = await _forget_lost(session, server, settings)
            parked = await count("retention_parked", settings.tombstone_days)
        tombstones = await count("retention_tombstones", settings.tombstone_days)
        left = Left()
        if settings.collection_days:
            database = await source.identity()
            whose = settings.collection, database, settings.target
            old = OldCollections(server, postgres, *whose, dry_run=settings.dry_run)
            left = await old.delete(settings.collection_days)
    result = RetentionResult(runs, tombstones, checkpoints, parked, left.old, left.dangling, settings.dry_run)
    log.info(result.table())
    return result


async def _open(
    postgres: PostgresConfig, qdrant: QdrantConfig
) -> tuple[tuple[PatternSource, LockedSession, Qdrant], AsyncExitStack]:
    """Open everything, or nothing; the second value closes it."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(PatternSource.open(postgres))
        session = await stack.enter_async_context(LockedSession.open(postgres))
        server = await stack.enter_async_context(Qdrant.open(qdrant))
        await refuse_old_qdrant(server)
        return (source, session, server), stack.pop_all()


async def _count(session: LockedSession, name: str, days: int, *, dry_run: bool) -> int:
    """Delete by the query of this name; return how many rows it deleted, or would delete."""
    deleted = 0
    async with session.transaction():
        [(deleted,)] = await session.fetch(name, days=days)
        if dry_run:
            raise psycopg.Rollback
    return int(deleted)


async def _forget_lost(session: LockedSession, server: Qdrant, settings: RetentionSettings) -> int:
    """Delete checkpoints and dead letters of collections that no run has touched for so long, and that are not here.

    A collection that is not here may be in another Qdrant of the same database, so that alone does not say that it is
    gone.
    """
    days = settings.tombstone_days
    listed = await server.call("listing the collections", server.client.get_collections)
    names, forgotten = {item.name for item in listed.collections}, 0
    for physical, identity in await session.fetch("retention_untouched", days=days):
        if physical in names and (await read_stored(server, physical)).description.identity == identity:
            continue
        forgotten += 1
        if settings.dry_run:
            continue
        log.info("Forgetting '%s': it is not here, and no run has touched it for %d days.", physical, days)
        await forget(session, physical, identity)
        await session.execute("backup_forget_collection", collection=physical, target_identity=identity)
    return forgotten
