"""Delete the collections that a change of model has left behind.

Nothing in Qdrant tells when an alias stopped naming a collection. So the first look that finds one without an alias
writes the time into its description, and a look so many days later deletes it. Whatever writes or publishes a
collection removes that time.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

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

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OldCollections:
    """The collections that were behind a name.

    Only a collection that this sync made, for this database and this name, is ever deleted.

    :param qdrant: the open Qdrant
    :param postgres: where its locks are
    :param name: the alias
    :param database: the database of its patterns
    """

    qdrant: Qdrant
    postgres: PostgresConfig
    name: str
    database: DatabaseIdentity

    async def delete(self, days: int) -> list[str]:
        """Delete those that no alias has named for so many days; return their names.

        :param days: at least 1
        :raises PatternsError: Qdrant cannot answer, or refuses
        """
        listed = await self.qdrant.call("listing the collections", self.qdrant.client.get_collections)
        names = {item.name for item in listed.collections}
        published = (await read_aliases(self.qdrant)).get(self.name, self.name)
        if published not in names or not self._owns(await read_stored(self.qdrant, published)):
            log.warning(
                "'%s' leads to no collection of this database in Qdrant at %s, so none of its old ones is deleted.",
                self.name,
                self.qdrant.config.address,
            )
            return []
        return [physical for physical in self._of_this_name(names) if await self._look_at(physical, days)]

    def _of_this_name(self, names: set[str]) -> Iterator[str]:
        return (name for name in sorted(names) if is_own_name(self.name, name))

    def _owns(self, stored: StoredCollection) -> bool:
        owner = stored.description.database
        return owner is not None and owner.is_same(self.database)

    async def _look_at(self, physical: str, days: int) -> bool:
        """Note that a collection is unused, or delete it if it was for so long; return whether it is gone."""
        async with LockedSession.open(self.postgres) as session:
            if not await session.take_at_once(collection_lock(physical)):
                # A run writes it.
                return False
            try:
                stored = await read_stored(self.qdrant, physical)
                if stored.description.identity is None or not self._owns(stored):
                    return False
                return await self._decide(session, stored, stored.description.identity, days)
            except CollectionLostError:
                return False

    async def _decide(self, session: LockedSession, stored: StoredCollection, identity: str, days: int) -> bool:
        physical, noted = stored.physical, stored.description.unused_since
        # Read now and not once for all: a person may be going back to this very collection.
        if physical in (await read_aliases(self.qdrant)).values():
            if noted:
                await note_unused(self.qdrant, stored, None)
            return False
        [(now,)] = await session.fetch("retention_now")
        since = datetime.fromisoformat(noted) if noted else now
        until = since + timedelta(days=days)
        if not noted:
            await note_unused(self.qdrant, stored, now.isoformat())
        if now < until:
            log.info("The old collection '%s' is kept until %s.", physical, f"{until:%Y-%m-%d %H:%M} UTC")
            return False
        await self.qdrant.call(
            f"deleting the collection '{physical}'", lambda: self.qdrant.client.delete_collection(physical)
        )
        await forget(session, physical, identity)
        log.info("Deleted the old collection '%s': no alias has named it since %s.", physical, noted)
        return True
