"""Delete what was kept for long enough: the one home of it for both sides of the sync.

It runs after a proof, when nothing old is needed to repair anything.
"""

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from functools import partial

from code_patterns import log_table
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.patience import patiently
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import Qdrant, refuse_old_qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.collection import read_stored
from code_patterns.sync.old_collections import OldCollections
from code_patterns.sync.record import forget
from code_patterns.sync.source import PatternSource
from code_patterns.sync.sync_settings import RetentionSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetentionResult:
    """How much was deleted.

    :param runs: rows of the run histories
    :param tombstones: tombstones
    :param checkpoints: collections whose checkpoint and dead letters were deleted because they are gone
    :param collections: old collections in Qdrant
    """

    runs: int
    tombstones: int
    checkpoints: int
    collections: int

    def as_xcom(self) -> dict[str, int]:
        """The counts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def table(self) -> str:
        """The result for the task log."""
        return "\n".join(["Deleted:", *(log_table.row(name, count) for name, count in self.as_xcom().items())])

    def summary(self) -> str:
        """The result in one line."""
        told = [f"{count:,} {name}" for name, count in self.as_xcom().items() if count]
        return f"{', '.join(told)} deleted" if told else "nothing was old enough to be deleted"


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
        runs = await _count(session, "retention_runs", settings.run_days) if settings.run_days else 0
        checkpoints = await _forget_lost(session, server, settings.tombstone_days) if settings.tombstone_days else 0
        tombstones = await _count(session, "retention_tombstones", settings.tombstone_days)
        collections: list[str] = []
        if settings.collection_days:
            old = OldCollections(server, postgres, settings.collection, await source.identity())
            collections = await old.delete(settings.collection_days)
    result = RetentionResult(runs, tombstones, checkpoints, len(collections))
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


async def _count(session: LockedSession, name: str, days: int) -> int:
    [(deleted,)] = await session.fetch(name, days=days)
    return int(deleted)


async def _forget_lost(session: LockedSession, server: Qdrant, days: int) -> int:
    """Delete checkpoints and dead letters of collections that no run has touched for so long, and that are not here.

    A collection that is not here may be in another Qdrant of the same database, so that alone does not say that it is
    gone.
    """
    listed = await server.call("listing the collections", server.client.get_collections)
    names, forgotten = {item.name for item in listed.collections}, 0
    for physical, identity in await session.fetch("retention_untouched", days=days):
        if physical in names and (await read_stored(server, physical)).description.identity == identity:
            continue
        log.info("Forgetting '%s': it is not here, and no run has touched it for %d days.", physical, days)
        await forget(session, physical, identity)
        forgotten += 1
    return forgotten
