"""Delete the collections that a change of model has left behind, and those that were never finished.

Nothing in Qdrant tells when an alias stopped naming a collection. So the first look that finds one without an alias
writes the time into its description, and a look so many days later deletes it. Whatever writes or publishes a
collection removes that time.

A collection that no proof has ever reached is *dangling*: the run that built it was killed or failed. Nobody goes back
to it, so it goes sooner: when the history shows that no run has worked on it for :data:`DANGLING_DAYS`. Between two
shards nobody holds the collection's lock, so the history alone tells that it is being built.

Runs can also name such a collection itself, without an alias. Where nothing changes they write nothing, and only the
history tells of them.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from code_patterns.servers.locks import LockedSession
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_errors import CollectionLostError
from code_patterns.sync.collection import StoredCollection, read_stored
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.publication import note_unused, read_aliases
from code_patterns.sync.record import forget
from code_patterns.sync.resolution import is_own_name
from code_patterns.sync.run_locks import collection_lock
from code_patterns.sync.snapshots import drop_snapshots
from code_patterns.sync.sync_target import SyncTarget

DANGLING_DAYS = 2
"""Days without a run after which nobody goes on building a collection. A task and all its retries take one at most."""

log = logging.getLogger(__name__)


class _Verdict(Enum):
    """What becomes of a collection."""

    USED = "used"
    OLD = "old"
    DANGLING = "dangling"


@dataclass(frozen=True)
class Left:
    """Collections that nobody uses any more.

    :param old: those that readers have seen once
    :param dangling: those that were never finished
    """

    old: tuple[str, ...] = ()
    dangling: tuple[str, ...] = ()


@dataclass(frozen=True)
class OldCollections:
    """The collections that were behind a name.

    Only a collection that this sync made, for this database, target and name, is ever deleted.

    :param qdrant: the open Qdrant
    :param postgres: where its locks are
    :param name: the alias
    :param database: the database of its patterns
    :param target: whose they were
    :param dry_run: find what would be deleted, and change nothing
    """

    qdrant: Qdrant
    postgres: PostgresConfig
    name: str
    database: DatabaseIdentity
    target: SyncTarget
    dry_run: bool = False

    async def delete(self, days: int) -> Left:
        """Delete those that no alias has named for so many days, and dangling ones; return their names.

        Nothing is deleted before the collection that readers see is proven: it may take its vectors from another one.

        :param days: at least 1
        :raises PatternsError: Qdrant cannot answer, or refuses
        """
        listed = await self.qdrant.call("listing the collections", self.qdrant.client.get_collections)
        names = {item.name for item in listed.collections}
        published = (await read_aliases(self.qdrant)).get(self.name, self.name)
        stored = await read_stored(self.qdrant, published) if published in names else None
        if stored is None or not self._owns(stored) or stored.description.points is None:
            log.warning(
                "'%s' leads to no proven collection of this database in Qdrant at %s, so none of its old ones is "
                "deleted.",
                self.name,
                self.qdrant.config.address,
            )
            return Left()
        found = {physical: await self._look_at(physical, days) for physical in self._of_this_name(names)}
        return Left(
            tuple(physical for physical, verdict in found.items() if verdict is _Verdict.OLD),
            tuple(physical for physical, verdict in found.items() if verdict is _Verdict.DANGLING),
        )

    def _of_this_name(self, names: set[str]) -> Iterator[str]:
        return (name for name in sorted(names) if is_own_name(self.name, name))

    def _owns(self, stored: StoredCollection) -> bool:
        owner = stored.description.database
        return owner is not None and owner.is_same(self.database)

    async def _look_at(self, physical: str, days: int) -> _Verdict:
        """Decide about a collection, and delete it if it is not used; nobody else may work on it meanwhile."""
        async with LockedSession.open(self.postgres) as session:
            if not await session.take_at_once(collection_lock(physical)):
                # A run writes it.
                return _Verdict.USED
            try:
                stored = await read_stored(self.qdrant, physical)
                described = stored.description
                if described.identity is None or not self._owns(stored):
                    return _Verdict.USED
                if described.target != self.target.name:
                    log.info("'%s' is kept: it belongs to %s.", physical, SyncTarget(described.target).title)
                    return _Verdict.USED
                verdict = await self._judge(session, stored, days)
                if verdict is not _Verdict.USED and not self.dry_run:
                    await self._delete(session, stored, described.identity)
            except CollectionLostError:
                return _Verdict.USED
            return verdict

    async def _judge(self, session: LockedSession, stored: StoredCollection, days: int) -> _Verdict:
        physical, noted = stored.physical, stored.description.unused_since
        # Read now and not once for all: a person may be going back to this very collection.
        if physical in (await read_aliases(self.qdrant)).values():
            if noted and not self.dry_run:
                await note_unused(self.qdrant, stored, None)
            return _Verdict.USED
        [(left_alone, shared, named)] = await session.fetch(
            "retention_used_lately",
            collection=physical,
            target_identity=stored.description.identity,
            days=DANGLING_DAYS,
            kept_days=days,
        )
        if shared or named:
            return _Verdict.USED
        if stored.description.points is None and left_alone:
            return _Verdict.DANGLING
        [(now,)] = await session.fetch("retention_now")
        until = (datetime.fromisoformat(noted) if noted else now) + timedelta(days=days)
        if not noted and not self.dry_run:
            await note_unused(self.qdrant, stored, now.isoformat())
        if now < until:
            log.info("The old collection '%s' is kept until %s.", physical, f"{until:%Y-%m-%d %H:%M} UTC")
            return _Verdict.USED
        return _Verdict.OLD

    async def _delete(self, session: LockedSession, stored: StoredCollection, identity: str) -> None:
        physical = stored.physical
        await drop_snapshots(self.qdrant, session, physical, identity)
        await self.qdrant.call(
            f"deleting the collection '{physical}'", lambda: self.qdrant.client.delete_collection(physical)
        )
        await forget(session, physical, identity)
        log.info("Deleted the collection '%s': no alias names it, and no run works on it.", physical)
