"""Create and describe a collection, and let readers see it without interruption."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.embeddings.words import WORDS, WORDS_RECIPE
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import LEAST_VERSION_TEXT, Qdrant
from code_patterns.servers.qdrant_errors import CollectionLostError, already_exists
from code_patterns.sync.collection import (
    METADATA_KEY,
    Collection,
    Description,
    StoredCollection,
    assert_same,
    read_stored,
)
from code_patterns.sync.collection_options import creation, fixed_options
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.payload_indexes import make_indexes

log = logging.getLogger(__name__)

HEARD_SECONDS = 5.0
"""How long to wait until all nodes of a cluster have heard of a change, where one has not."""
HEARD_TIMES = 5
"""How often in succession the change must show then: each time another node may be asked."""


async def prepare(qdrant: Qdrant, collection: Collection, database: DatabaseIdentity) -> Collection:
    """Create the collection if it does not exist, and its alias if the name is free; describe an existing one.

    An existing one gets the sparse vector for words, if it is to have words.

    :param database: the database of its patterns
    :raises ConfigurationError: the server does not keep descriptions
    """
    physical = collection.physical
    if collection.description.identity is None:
        description = replace(
            collection.description,
            identity=collection.identity,
            recipe=collection.recipe,
            database=database,
            target=collection.target.name,
        )
        if collection.stored is None:
            log.info("Creating the Qdrant collection '%s' for '%s'.", physical, collection.name)
            asked = fixed_options(qdrant.config.collection)
            await _create(qdrant, collection, replace(description, asked=asked))
        else:
            counted = await qdrant.call(f"counting '{physical}'", lambda: qdrant.client.count(physical, exact=True))
            await _describe(qdrant, physical, replace(description, points=counted.count))
        stored = await _read_changed(qdrant, physical, lambda now: now.description.identity == collection.identity)
        if stored.description.identity is None:
            raise ConfigurationError(
                Code.QDRANT_TOO_OLD,
                f"Qdrant at {qdrant.config.address} does not keep what is said about a collection (its metadata). "
                f"Upgrade it to {LEAST_VERSION_TEXT} or newer.",
            )
        assert_same(qdrant, collection, stored)
        collection = replace(collection, stored=stored)
    collection = await _with_words(qdrant, collection)
    await make_indexes(qdrant, collection)
    return collection if collection.outdated else await publish(qdrant, collection)


async def note_progress(qdrant: Qdrant, collection: Collection, database: DatabaseIdentity, token: str) -> Collection:
    """Store a new progress token and the database in the collection's description.

    :raises CollectionLostError: it was deleted or replaced
    """
    assert_same(qdrant, collection, await read_stored(qdrant, collection.physical))
    description = replace(
        collection.description,
        database=database,
        progress=token,
        unused_since=None,
        target=collection.target.name,
    )
    return await _redescribed(qdrant, collection, description)


async def remember_proof(qdrant: Qdrant, collection: Collection, points: int) -> Collection:
    """Store how many points are proven to agree with which rows of PostgreSQL, and by which recipe of the words.

    A later mass delete is measured by the number. It is stored in Qdrant, because a run on the wrong database would
    read that one.
    """
    words = WORDS_RECIPE if collection.words else None
    description = replace(
        collection.description,
        points=points,
        words=words,
        rows=collection.target.rows.text,
        target=collection.target.name,
    )
    return collection if collection.description == description else await _redescribed(qdrant, collection, description)


async def remember_token_limit(qdrant: Qdrant, collection: Collection, limit: int | None) -> Collection:
    """Store the longest text that the embedding server takes, so that the next run need not find it.

    It is stored beside the recipe, because another model has another collection.
    """
    if limit is None or collection.description.token_limit == limit:
        return collection
    return await _redescribed(qdrant, collection, replace(collection.description, token_limit=limit))


async def note_deferred(qdrant: Qdrant, collection: Collection, options: Mapping[str, int] | None) -> Collection:
    """Store which options of its index a collection gets when its first load is complete.

    :param options: value by name; ``None`` when it has them
    """
    return await _redescribed(qdrant, collection, replace(collection.description, deferred=options))


async def note_unused(qdrant: Qdrant, stored: StoredCollection, since: str | None) -> None:
    """Store since when no alias names a collection.

    :param since: that time in ISO 8601; ``None`` if one does
    """
    await _describe(qdrant, stored.physical, replace(stored.description, unused_since=since))


async def publish(
    qdrant: Qdrant, collection: Collection, *, rollback: bool = False, dag_run: str | None = None
) -> Collection:
    """Let readers of the name see this collection. It is one call, so no reader misses it.

    :param rollback: somebody goes back on purpose; later runs stay here although the connection names another recipe
    :param dag_run: the DAG run that does so; if it is tried again, it stays here too
    """
    physical = collection.physical
    if physical == collection.name:
        if collection.outdated:
            description = replace(collection.description, recipe=collection.recipe)
            collection = await _redescribed(qdrant, collection, description)
        return replace(collection, outdated=None)
    current = (await read_aliases(qdrant)).get(collection.name)
    if current == physical:
        return replace(collection, outdated=None)
    operations: list[models.AliasOperations] = []
    if current is not None:
        before = (await read_stored(qdrant, current)).description
        # Whoever goes back from where somebody went back to goes forward again, and has left nothing.
        left = before.recipe if rollback and before.left is None else None
        description = replace(collection.description, previous=current, left=left, unused_since=None)
        # Before the exchange: a run that is killed after it must find this.
        description = replace(description, rolled_back_by=dag_run if rollback else None)
        collection = await _redescribed(qdrant, collection, description)
        operations.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=collection.name)))
    operations.append(
        models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=physical, alias_name=collection.name)
        )
    )
    await qdrant.call(
        f"pointing the alias '{collection.name}' to '{physical}'",
        lambda: qdrant.client.update_collection_aliases(change_aliases_operations=operations),
    )
    if current is not None:
        log.info("'%s' now names '%s'; '%s' is kept for going back.", collection.name, physical, current)
    return replace(collection, outdated=None)


async def confirm(qdrant: Qdrant, collection: Collection) -> None:
    """Check that the name still leads where it led when the run started to write.

    :raises CollectionLostError: the collection was deleted or replaced, or the alias names another one
    """
    physical, expected = collection.physical, collection.outdated or collection.physical
    named = (await read_aliases(qdrant)).get(collection.name, collection.name)
    stored = await read_stored(qdrant, physical)
    if named != expected:
        raise CollectionLostError(
            f"While this run wrote '{physical}' in Qdrant at {qdrant.config.address}, something else made "
            f"'{collection.name}' name '{named}'. The next run syncs what the name leads to then."
        )
    assert_same(qdrant, collection, stored)


class UnnamedError(ConfigurationError):
    """Readers do not find the collection: its alias was removed.

    :param address: where Qdrant is
    :param collection: the collection
    """

    def __init__(self, address: str, collection: Collection) -> None:
        self.collection = collection
        self.reason = f"the alias '{collection.name}' is gone from Qdrant at {address}"
        super().__init__(
            Code.ALIAS_GONE,
            f"The alias '{collection.name}' is gone from Qdrant at {address}: readers find nothing, although the "
            f"collection '{collection.physical}' is there. Run pattern_sync_full: it makes the alias.",
        )


async def refuse_unnamed(qdrant: Qdrant, collection: Collection) -> None:
    """Check that readers find the collection.

    :raises UnnamedError: its alias was removed
    """
    if collection.stored is None or collection.physical == collection.name:
        return
    if collection.name not in await read_aliases(qdrant):
        raise UnnamedError(qdrant.config.address, collection)


async def _create(qdrant: Qdrant, collection: Collection, description: Description) -> None:
    physical = collection.physical
    options = qdrant.config.collection
    vectors = models.VectorParams(
        size=collection.embedding.dimension, distance=models.Distance.COSINE, on_disk=options.on_disk
    )
    words = {WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)}

    async def create() -> None:
        try:
            await qdrant.client.create_collection(
                physical,
                vectors_config=vectors,
                sparse_vectors_config=words if collection.words else None,
                metadata=_metadata(description),
                **creation(options),
            )
        except Exception as error:
            # An earlier attempt may have created it, although its answer was lost.
            if not already_exists(error):
                raise

    await qdrant.call(f"creating the collection '{physical}'", create)


async def _with_words(qdrant: Qdrant, collection: Collection) -> Collection:
    """Add the sparse vector for words, if the collection lacks it and is to have it."""
    if collection.stored is None or collection.stored.words or not collection.words:
        return collection
    physical = collection.physical
    config = models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=models.Modifier.IDF))
    log.info("Adding the sparse vector '%s' to the Qdrant collection '%s'.", WORDS, physical)
    await qdrant.call(
        f"adding the sparse vector '{WORDS}' to '{physical}'",
        lambda: qdrant.client.create_vector_name(physical, WORDS, config, wait=True),
    )
    return replace(collection, stored=await _read_changed(qdrant, physical, lambda now: now.words))


async def _read_changed(qdrant: Qdrant, physical: str, changed: Callable[[StoredCollection], bool]) -> StoredCollection:
    """Read a collection that was just changed, as it is after the change.

    A node of a cluster that has no shard of the collection asks another node, which may not have heard of the change.
    It is asked again for some seconds.

    :param changed: whether the change shows
    """
    stored = await read_stored(qdrant, physical)
    if changed(stored):
        return stored
    ends = time.monotonic() + HEARD_SECONDS
    seen = 0
    while seen < HEARD_TIMES and time.monotonic() < ends:
        await asyncio.sleep(HEARD_SECONDS / 100)
        stored = await read_stored(qdrant, physical)
        seen = seen + 1 if changed(stored) else 0
    return stored


async def _redescribed(qdrant: Qdrant, collection: Collection, description: Description) -> Collection:
    await _describe(qdrant, collection.physical, description)
    return replace(collection, stored=collection.stored and replace(collection.stored, description=description))


async def _describe(qdrant: Qdrant, physical: str, description: Description) -> None:
    await qdrant.call(
        f"describing the collection '{physical}'",
        lambda: qdrant.client.update_collection(physical, metadata=_metadata(description)),
    )


async def read_aliases(qdrant: Qdrant) -> dict[str, str]:
    """The collection behind each alias."""
    aliases = await qdrant.call("reading the aliases", qdrant.client.get_aliases)
    return {item.alias_name: item.collection_name for item in aliases.aliases}


def _metadata(description: Description) -> dict[str, dict[str, Any]]:
    return {METADATA_KEY: asdict(description)}
