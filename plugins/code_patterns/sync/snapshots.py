"""Snapshots in Qdrant: make one, list them, delete those that were made here and are no longer kept."""

import logging
from dataclasses import dataclass, replace

from qdrant_client import models
from qdrant_client.http.exceptions import ResponseHandlingException

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_errors import CollectionLostError
from code_patterns.sync.collection import read_stored

log = logging.getLogger(__name__)

SNAPSHOT_SECONDS = 6 * 3600
"""How long Qdrant may take to make a snapshot: it answers when the file is complete."""


@dataclass(frozen=True)
class KeptSnapshot:
    """A snapshot that was made here.

    :param collection: the real collection
    :param identity: which collection of that name
    :param name: the snapshot's name, as Qdrant gave it
    """

    collection: str
    identity: str
    name: str


async def refuse_several_nodes(qdrant: Qdrant, physical: str) -> None:
    """Check that one snapshot holds the whole collection.

    :raises ConfigurationError: nodes of a cluster share the collection; a snapshot holds the shards of one node
    """
    found = await qdrant.call(
        f"reading the shards of '{physical}'", lambda: qdrant.client.collection_cluster_info(physical)
    )
    if found.remote_shards:
        raise ConfigurationError(
            Code.BACKUP_IMPOSSIBLE,
            f"The shards of '{physical}' are on several nodes of the Qdrant cluster at {qdrant.config.address}, and a "
            "snapshot holds those of one node. No snapshot was made. Make one on each node, with the requests in "
            "docs/restore.md, 'A Qdrant cluster'.",
        )


async def make_snapshot(qdrant: Qdrant, physical: str) -> models.SnapshotDescription:
    """Make a snapshot of a collection, and wait until it is complete. It is asked for once only.

    :raises PatternsError: Qdrant did not make it, or its answer was lost; then the snapshot may be there all the same
    """
    async with Qdrant.open(replace(qdrant.config, timeout=SNAPSHOT_SECONDS)) as patient:

        async def make() -> models.SnapshotDescription:
            made = await patient.client.create_snapshot(physical, wait=True)
            if made is None:
                raise ResponseHandlingException(ValueError("an answer without a result"))
            return made

        return await patient.call(f"making a snapshot of '{physical}'", make, attempts=1)


async def snapshot_names(qdrant: Qdrant, physical: str) -> set[str]:
    """The names of all snapshots of a collection, whoever made them."""
    listed = await qdrant.call(f"listing the snapshots of '{physical}'", lambda: qdrant.client.list_snapshots(physical))
    return {snapshot.name for snapshot in listed}


async def prune_snapshots(qdrant: Qdrant, session: LockedSession, name: str, keep: int) -> list[str]:
    """Delete all but the newest snapshots that were made here of the collections behind a name; return their names.

    Those of collections that are not in this Qdrant are left alone: one database can feed two of them.

    :param name: alias or collection, as users write it
    :param keep: how many stay, at least 1
    """
    made = [KeptSnapshot(*row) for row in await session.fetch("backup_list", name=name)]
    there: dict[tuple[str, str], set[str]] = {}
    for collection, identity in dict.fromkeys((one.collection, one.identity) for one in made):
        try:
            if (await read_stored(qdrant, collection, attempts=1)).description.identity == identity:
                there[collection, identity] = await snapshot_names(qdrant, collection)
        except CollectionLostError:
            continue
    kept, deleted = 0, []
    for one in made:
        names = there.get((one.collection, one.identity))
        if names is None:
            continue
        if one.name in names and kept < keep:
            kept += 1
            continue
        if one.name in names:
            await _delete(qdrant, one.collection, one.name)
            deleted.append(one.name)
        await session.execute("backup_forget", collection=one.collection, snapshot=one.name)
    return deleted


async def drop_snapshots(qdrant: Qdrant, session: LockedSession, physical: str, identity: str) -> None:
    """Delete the snapshots that were made here of a collection that is about to be deleted.

    Qdrant keeps their files, but lists and deletes none of them without the collection.
    """
    made = await session.fetch("backup_of_collection", collection=physical, target_identity=identity)
    names = await snapshot_names(qdrant, physical) if made else set()
    for (name,) in made:
        if name in names:
            await _delete(qdrant, physical, name)
        await session.execute("backup_forget", collection=physical, snapshot=name)


async def _delete(qdrant: Qdrant, physical: str, name: str) -> None:
    try:
        await qdrant.call(
            f"deleting the snapshot '{name}'", lambda: qdrant.client.delete_snapshot(physical, name, wait=True)
        )
    except CollectionLostError:
        return
    log.info("Deleted the snapshot '%s' of '%s'.", name, physical)
