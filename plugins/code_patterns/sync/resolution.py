"""Finding the collection that a run is to read and write; nothing is created here."""

import hashlib
import logging
from dataclasses import dataclass, replace

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.collection import Collection, Destination, StoredCollection, read_stored
from code_patterns.sync.pattern import embedding_of, identity_of, recipe_of, same_recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Names:
    """What names there are in Qdrant.

    :param collections: names of collections
    :param aliases: collection by alias
    """

    collections: frozenset[str]
    aliases: dict[str, str]

    def behind(self, name: str) -> str | None:
        """The real collection that readers of a name see."""
        return name if name in self.collections else self.aliases.get(name)


async def resolve(qdrant: Qdrant, name: str, embedding: EmbeddingConfig, destination: Destination) -> Collection:
    """Find the collection that a run is to read and write.

    :param qdrant: where to look
    :param name: the alias or collection, as users write it
    :param embedding: the embedding connection
    :param destination: which one, when readers see a collection made by another recipe
    :raises ConfigurationError: Qdrant may not be read, or the collection does not fit
    :raises OutageError: Qdrant cannot be reached, is too busy or failing
    """
    names = await _names(qdrant, name)
    physical = names.behind(name)
    if physical is None:
        if destination is Destination.PREVIOUS:
            raise ConfigurationError(f"There is no collection '{name}' at {qdrant.config.address} to go back from.")
        return await _own(qdrant, names, name, embedding)

    published = await _read(qdrant, physical)
    embedding = _spelled(published, embedding)
    dimension = _dimension(qdrant, published)
    recipe = recipe_of(embedding)
    fits = (published.description.recipe or recipe) == recipe and dimension == embedding.dimension
    by_hand = physical == name
    if by_hand and dimension != embedding.dimension and published.description.recipe in (None, recipe):
        raise _wrong_dimension(qdrant, physical, dimension, embedding)

    if destination is Destination.PREVIOUS:
        return await _previous(qdrant, names, name, published, embedding)
    if fits:
        return Collection(name, physical, embedding, published)
    if destination is Destination.PUBLISHED or _was_left(name, published, embedding):
        return Collection(name, physical, _followed(published, embedding), published)
    if by_hand:
        if dimension != embedding.dimension:
            raise _wrong_dimension(qdrant, physical, dimension, embedding)
        return Collection(name, physical, embedding, published, outdated=physical)
    return replace(await _own(qdrant, names, name, embedding), outdated=physical)


async def _own(qdrant: Qdrant, names: _Names, name: str, embedding: EmbeddingConfig) -> Collection:
    """The collection for the connection's own recipe, beside which others may stand."""
    digest = hashlib.blake2b(identity_of(embedding).encode(), digest_size=4).hexdigest()
    physical = f"{name}__{digest}"
    if physical not in names.collections:
        return Collection(name, physical, embedding)
    stored = await _read(qdrant, physical)
    return Collection(name, physical, _spelled(stored, embedding), stored)


async def _previous(
    qdrant: Qdrant, names: _Names, name: str, published: StoredCollection, embedding: EmbeddingConfig
) -> Collection:
    """The collection that readers saw before the published one."""
    previous = published.description.previous
    if previous is None or previous not in names.collections:
        raise ConfigurationError(
            f"The collection '{published.physical}' behind '{name}' replaced no other one"
            f"{f' that is still there ({previous} is gone)' if previous else ''}: there is nothing to go back to."
        )
    stored = await _read(qdrant, previous)
    return Collection(name, previous, _followed(stored, embedding), stored, outdated=published.physical)


def _was_left(name: str, published: StoredCollection, embedding: EmbeddingConfig) -> bool:
    """Whether somebody went back from the connection's recipe to the published collection."""
    left = published.description.left
    if left and same_recipe(left, embedding):
        log.warning(
            "'%s' was rolled back from the model that the connection '%s' still names. Following '%s' as it is: "
            "correct the connection, or go forward again with rollback.",
            name,
            embedding.conn_id,
            published.physical,
        )
        return True
    return False


def _spelled(stored: StoredCollection, embedding: EmbeddingConfig) -> EmbeddingConfig:
    """Call the connection's model as the collection does: the name is part of the hashes in its points."""
    recipe = stored.description.recipe
    return _followed(stored, embedding) if recipe and same_recipe(recipe, embedding) else embedding


def _followed(stored: StoredCollection, embedding: EmbeddingConfig) -> EmbeddingConfig:
    """How to go on with the vectors of a collection that another recipe may have made."""
    recipe = stored.description.recipe
    followed = embedding_of(recipe, embedding) if recipe else embedding
    if followed is None:
        raise ConfigurationError(
            f"The collection '{stored.physical}' was made by a text recipe that this version does not know. Run "
            "pattern_sync_full: it builds a new one and then lets the alias name it."
        )
    return followed


def _dimension(qdrant: Qdrant, stored: StoredCollection) -> int:
    if stored.vectors is None:
        raise ConfigurationError(
            f"The Qdrant collection '{stored.physical}' of {qdrant.config.address} has named vectors; the sync needs "
            "one unnamed vector with cosine distance. Set the Variable 'patterns_collection' to another name."
        )
    return stored.vectors.size


def _wrong_dimension(qdrant: Qdrant, physical: str, dimension: int, embedding: EmbeddingConfig) -> ConfigurationError:
    return ConfigurationError(
        f"The Qdrant collection '{physical}' of {qdrant.config.address} holds vectors of {dimension} dimensions, the "
        f"connection '{embedding.conn_id}' makes {embedding.dimension}. Correct 'model' and 'dimension' in the "
        "connection's extra, or rename the collection: the full sync then builds a new one. Nothing was changed."
    )


async def _names(qdrant: Qdrant, name: str) -> _Names:
    doing = f"looking for the collection '{name}'"
    collections = await qdrant.call(doing, qdrant.client.get_collections, attempts=1)
    aliases = await qdrant.call(doing, qdrant.client.get_aliases, attempts=1)
    return _Names(
        frozenset(item.name for item in collections.collections),
        {item.alias_name: item.collection_name for item in aliases.aliases},
    )


async def _read(qdrant: Qdrant, physical: str) -> StoredCollection:
    return await read_stored(qdrant, physical, attempts=1)
