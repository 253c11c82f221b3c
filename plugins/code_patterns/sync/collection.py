"""Which Qdrant collection stands behind a name, and how another one takes its place without readers noticing."""

import hashlib
import logging
import uuid
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import CollectionLostError, Qdrant, UnreachableError
from code_patterns.sync.pattern import embedding_of, recipe_of

log = logging.getLogger(__name__)

METADATA_KEY = "code_patterns"


class Destination(Enum):
    """Which collection a run writes when readers see one that was made by another recipe.

    :cvar CONNECTION: the one for the embedding connection's recipe, beside the one that readers see
    :cvar PUBLISHED: the one that readers see, by its own recipe
    :cvar PREVIOUS: the one that readers saw before, by its own recipe
    """

    CONNECTION = "connection"
    PUBLISHED = "published"
    PREVIOUS = "previous"


@dataclass(frozen=True)
class Description:
    """What a collection's metadata in Qdrant says about it.

    :param identity: tells this collection from another one of the same name
    :param recipe: how its vectors were made, from :func:`~code_patterns.sync.pattern.recipe_of`
    :param previous: the collection that readers saw before this one
    :param left: recipe that somebody went back from, to this collection
    :param points: how many points it held when it was adopted, or last proven to agree with PostgreSQL
    """

    identity: str | None = None
    recipe: str | None = None
    previous: str | None = None
    left: str | None = None
    points: int | None = None


@dataclass(frozen=True)
class Collection:
    """The collection that a run reads and writes.

    :param name: what users call it: an alias, or a collection of their own
    :param physical: the real collection
    :param embedding: how its vectors are made
    :param exists: whether it is there yet
    :param description: what it says about itself
    :param outdated: the collection that readers of ``name`` see until this one is published; a user's own collection,
        which no alias stands before, is its own predecessor
    """

    name: str
    physical: str
    embedding: EmbeddingConfig
    exists: bool = False
    description: Description = Description()
    outdated: str | None = None

    @property
    def recipe(self) -> str:
        """How its vectors are made, in a form two runs can compare."""
        return recipe_of(self.embedding)

    @property
    def identity(self) -> str:
        """What tells it from another one; servers before 1.16 keep no metadata, so the name has to do there."""
        return self.description.identity or self.physical


async def resolve(qdrant: Qdrant, name: str, embedding: EmbeddingConfig, destination: Destination) -> Collection:
    """Find the collection that a run is to read and write; creates nothing.

    :param qdrant: where to look
    :param name: the alias or collection, as users write it
    :param embedding: the embedding connection
    :param destination: which one, when readers see a collection made by another recipe
    :raises ConfigurationError: Qdrant cannot be reached or read, or the collection does not fit
    :raises OutageError: Qdrant is there but too busy or failing
    """

    async def ask(request: Any) -> Any:
        try:
            return await qdrant.call(f"looking for the collection '{name}'", request, attempts=1)
        except UnreachableError as error:
            # At the start of a run nothing is lost by asking a person, and waiting would hide the reason.
            raise ConfigurationError(str(error)) from None

    names = {item.name for item in (await ask(qdrant.client.get_collections)).collections}
    aliases = {item.alias_name: item.collection_name for item in (await ask(qdrant.client.get_aliases)).aliases}
    wanted = Collection(name, f"{name}__{_digest(recipe_of(embedding))}", embedding)

    async def described(physical: str) -> tuple[models.CollectionInfo, Description]:
        info = await ask(lambda: qdrant.client.get_collection(physical))
        return info, _description(info)

    published = name if name in names else aliases.get(name)
    if published is None:
        if destination is Destination.PREVIOUS:
            raise ConfigurationError(f"There is no collection '{name}' at {qdrant.config.address} to go back from.")
        if wanted.physical in names:
            wanted = replace(wanted, exists=True, description=(await described(wanted.physical))[1])
        return wanted

    info, description = await described(published)
    size = _vector_size(qdrant, published, info)
    recipe = description.recipe or recipe_of(embedding)
    if published == name and size != embedding.dimension and description.recipe in (None, recipe_of(embedding)):
        raise _wrong_dimension(qdrant, published, size, embedding)

    if destination is Destination.PREVIOUS:
        previous = description.previous
        if previous is None or previous not in names:
            raise ConfigurationError(
                f"The collection '{published}' behind '{name}' replaced no other one"
                f"{f' that is still there ({previous} is gone)' if previous else ''}: there is nothing to go back to."
            )
        _, before = await described(previous)
        return Collection(name, previous, _followed(before, previous, embedding), True, before, outdated=published)

    fits = recipe == recipe_of(embedding) and size == embedding.dimension
    if not fits and destination is Destination.CONNECTION and description.left == recipe_of(embedding):
        log.warning(
            "'%s' was rolled back from the model that the connection '%s' still names. Following '%s' as it is: "
            "correct the connection, or go forward again with rollback.",
            name,
            embedding.conn_id,
            published,
        )
        destination = Destination.PUBLISHED
    if fits or destination is Destination.PUBLISHED:
        followed = embedding if fits else _followed(description, published, embedding)
        return Collection(name, published, followed, True, description)
    if published == name:
        if size != embedding.dimension:
            raise _wrong_dimension(qdrant, published, size, embedding)
        return Collection(name, published, embedding, True, description, outdated=published)
    if wanted.physical in names:
        wanted = replace(wanted, exists=True, description=(await described(wanted.physical))[1])
    return replace(wanted, outdated=published)


async def prepare(qdrant: Qdrant, collection: Collection) -> Collection:
    """Create the collection if it is not there, and its alias where the name is free; describe an existing one."""
    physical = collection.physical
    description = replace(collection.description, identity=uuid.uuid4().hex, recipe=collection.recipe)
    if not collection.exists:
        log.info("Creating the Qdrant collection '%s' for '%s'.", physical, collection.name)
        vectors = models.VectorParams(size=collection.embedding.dimension, distance=models.Distance.COSINE)
        await qdrant.call(
            f"creating the collection '{physical}'", lambda: _create(qdrant, physical, vectors, description)
        )
    elif collection.description.identity is None:
        counted = await qdrant.call(f"counting '{physical}'", lambda: qdrant.client.count(physical, exact=True))
        await _describe(qdrant, physical, replace(description, points=counted.count))
    info = await qdrant.call(f"reading the collection '{physical}'", lambda: qdrant.client.get_collection(physical))
    collection = replace(collection, exists=True, description=_description(info))
    return collection if collection.outdated else await publish(qdrant, collection)


async def remember_points(qdrant: Qdrant, collection: Collection, points: int) -> Collection:
    """Note how many points are proven to agree with PostgreSQL: a later mass delete is measured by them.

    It stands in Qdrant, because a run on the wrong database would ask that one.
    """
    if collection.description.points == points:
        return collection
    description = replace(collection.description, points=points)
    await _describe(qdrant, collection.physical, description)
    return replace(collection, description=description)


async def publish(qdrant: Qdrant, collection: Collection, *, rollback: bool = False) -> Collection:
    """Let readers of the name see this collection, in one call, so that no reader ever misses it.

    :param rollback: somebody goes back on purpose: later runs stay here although the connection names another recipe
    """
    physical, outdated = collection.physical, collection.outdated
    if physical == collection.name:
        if outdated:
            await _describe(qdrant, physical, replace(collection.description, recipe=collection.recipe))
        return replace(collection, outdated=None)
    aliases = await qdrant.call("reading the aliases", qdrant.client.get_aliases)
    current = {item.alias_name: item.collection_name for item in aliases.aliases}.get(collection.name)
    if current == physical:
        return replace(collection, outdated=None)
    description = collection.description
    operations: list[models.AliasOperations] = []
    if current is not None:
        info = await qdrant.call(f"reading the collection '{current}'", lambda: qdrant.client.get_collection(current))
        description = replace(description, previous=current, left=_description(info).recipe if rollback else None)
        await _describe(qdrant, physical, description)
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
    return replace(collection, description=description, outdated=None)


async def confirm(qdrant: Qdrant, collection: Collection) -> None:
    """Make sure that the name still leads where it led when the run began to write.

    :raises CollectionLostError: the collection was deleted or replaced, or the alias names another one
    """
    physical, expected = collection.physical, collection.outdated or collection.physical
    aliases = await qdrant.call("reading the aliases", qdrant.client.get_aliases)
    named = {item.alias_name: item.collection_name for item in aliases.aliases}.get(collection.name, collection.name)
    info = await qdrant.call(f"reading the collection '{physical}'", lambda: qdrant.client.get_collection(physical))
    if named != expected:
        raise CollectionLostError(
            f"While this run wrote '{physical}' in Qdrant at {qdrant.config.address}, something else made "
            f"'{collection.name}' name '{named}'. The next run syncs what the name leads to then."
        )
    if (_description(info).identity or physical) != collection.identity:
        raise CollectionLostError(
            f"While this run wrote '{physical}' in Qdrant at {qdrant.config.address}, something else replaced that "
            "collection by another one of the same name. The next run compares everything."
        )


async def _create(qdrant: Qdrant, physical: str, vectors: models.VectorParams, description: Description) -> None:
    try:
        await qdrant.client.create_collection(physical, vectors_config=vectors, metadata=_metadata(description))
    except UnexpectedResponse as error:
        # An earlier attempt may have created it although its answer was lost.
        if error.status_code != 409:
            raise


async def _describe(qdrant: Qdrant, physical: str, description: Description) -> None:
    await qdrant.call(
        f"describing the collection '{physical}'",
        lambda: qdrant.client.update_collection(physical, metadata=_metadata(description)),
    )


def _metadata(description: Description) -> dict[str, Any]:
    return {METADATA_KEY: asdict(description)}


def _description(info: models.CollectionInfo) -> Description:
    stored = (info.config.metadata or {}).get(METADATA_KEY)
    stored = stored if isinstance(stored, dict) else {}
    return Description(**{name: stored.get(name) for name in asdict(Description())})


def _followed(description: Description, physical: str, embedding: EmbeddingConfig) -> EmbeddingConfig:
    followed = embedding_of(description.recipe, embedding) if description.recipe else embedding
    if followed is None:
        raise ConfigurationError(
            f"The collection '{physical}' was made by a text recipe that this version does not know. Run "
            "pattern_sync_full: it builds a new one and then lets the alias name it."
        )
    return followed


def _vector_size(qdrant: Qdrant, physical: str, info: models.CollectionInfo) -> int:
    vectors = info.config.params.vectors
    if not isinstance(vectors, models.VectorParams):
        raise ConfigurationError(
            f"The Qdrant collection '{physical}' of {qdrant.config.address} has named vectors; the sync needs one "
            "unnamed vector with cosine distance. Set the Variable 'patterns_collection' to another name."
        )
    return vectors.size


def _wrong_dimension(qdrant: Qdrant, physical: str, size: int, embedding: EmbeddingConfig) -> ConfigurationError:
    return ConfigurationError(
        f"The Qdrant collection '{physical}' of {qdrant.config.address} holds vectors of {size} dimensions, the "
        f"connection '{embedding.conn_id}' makes {embedding.dimension}. Correct 'model' and 'dimension' in the "
        "connection's extra, or rename the collection: the full sync then builds a new one. Nothing was changed."
    )


def _digest(recipe: str) -> str:
    return hashlib.blake2b(recipe.encode(), digest_size=4).hexdigest()
