"""Find the collection that a run reads and writes; nothing is created here."""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, count

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.words import WORDS
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import Qdrant, adds_vectors
from code_patterns.sync.collection import Collection, Destination, StoredCollection, read_stored
from code_patterns.sync.collection_options import in_words, needs_rebuild, refuse_unfit
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.pattern import embedding_of, identity_of, model_of, recipe_of, same_recipe
from code_patterns.sync.sync_settings import NEVER_WRITTEN
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Search:
    """The search for a collection, and the names in Qdrant.

    :param qdrant: the open Qdrant
    :param name: the alias or collection, as users write it
    :param embedding: the embedding connection
    :param database: the database of the rows
    :param target: the target of the run
    :param take_over: whether a collection of another database or target may become this one's
    :param dag_run: the DAG run, if there is one
    :param collections: names of collections
    :param aliases: collection by alias
    """

    qdrant: Qdrant
    name: str
    embedding: EmbeddingConfig
    database: DatabaseIdentity
    target: SyncTarget
    take_over: bool
    dag_run: str | None
    collections: frozenset[str]
    aliases: Mapping[str, str]

    def behind(self, name: str) -> str | None:
        """The real collection that readers of a name see."""
        return name if name in self.collections else self.aliases.get(name)

    async def read(self, physical: str) -> StoredCollection:
        """Read a collection, and refuse one that this sync must not write.

        :raises ConfigurationError: it belongs to others, or its vectors are of another kind
        """
        if physical in {name for known in NEVER_WRITTEN for name in (known, self.behind(known))}:
            raise ConfigurationError(
                Code.COLLECTION_FOREIGN,
                f"'{self.name}' leads to the collection '{physical}' of {self.qdrant.config.address}, which the sync "
                f"never writes. Let the alias name another one, or set {self.target.setting} to another name.",
            )
        stored = await read_stored(self.qdrant, physical, attempts=1)
        ours = stored.description.identity is not None or is_own_name(self.name, physical)
        if not ours and self.name not in self.collections and self.behind(self.name) == physical:
            raise ConfigurationError(
                Code.COLLECTION_FOREIGN,
                f"The alias '{self.name}' leads to the collection '{physical}' of {self.qdrant.config.address}, which "
                "was not made by this sync. Remove the alias: the full sync then makes one of its own. If it is to "
                f"write that very collection, set {self.target.setting} to '{physical}'.",
            )
        stored.fit_vectors(f"The Qdrant collection '{physical}' of {self.qdrant.config.address}", self.target)
        owner = stored.description.database
        if owner and not owner.is_same(self.database):
            if not self.take_over:
                raise ConfigurationError(
                    Code.COLLECTION_FOREIGN,
                    f"The Qdrant collection '{physical}' of {self.qdrant.config.address} belongs to the database "
                    f"{owner}, and this run is for {self.database}. Nothing was written. Correct the connections, or "
                    "the collection's name; if this database is to have the collection from now on, run "
                    "pattern_sync_full once with the Param take_over.",
                )
            log.warning("Taking over the collection '%s' from the database %s for %s.", physical, owner, self.database)
        self._refuse_other_target(stored)
        return stored

    def _refuse_other_target(self, stored: StoredCollection) -> None:
        """Refuse a collection of another target: both would delete what only the other one wants."""
        description = stored.description
        if description.identity is None or description.target == self.target.name:
            return
        owner = SyncTarget(description.target).title
        if not self.take_over:
            raise ConfigurationError(
                Code.COLLECTION_FOREIGN,
                f"The Qdrant collection '{stored.physical}' of {self.qdrant.config.address} belongs to {owner}, and "
                f"this run is for {self.target.title}. Nothing was written. Give each target a collection of its own; "
                "if this target is to have the collection from now on, run its full sync once with the Param "
                "take_over.",
            )
        log.warning("Taking over the collection '%s' from %s for %s.", stored.physical, owner, self.target.title)


async def resolve(
    qdrant: Qdrant,
    name: str,
    embedding: EmbeddingConfig,
    destination: Destination,
    database: DatabaseIdentity,
    *,
    take_over: bool = False,
    target: SyncTarget = WITHOUT_NAME,
    dag_run: str | None = None,
) -> Collection:
    """Find the collection that a run reads and writes.

    :param qdrant: the open Qdrant
    :param name: the alias or collection, as users write it
    :param embedding: the embedding connection
    :param destination: which one, if readers see a collection of another recipe
    :param database: the database of the rows
    :param take_over: let a collection of another database or target become this one's
    :param target: the target of the run
    :param dag_run: the DAG run, see :attr:`~code_patterns.run_identity.RunIdentity.dag_run`
    :raises ConfigurationError: Qdrant refuses to be read, this sync must not write the collection, or its options do
        not fit the vectors
    :raises OutageError: Qdrant cannot be reached, is too busy or fails
    """
    refuse_unfit(qdrant.config, embedding)
    search = await _search(qdrant, name, embedding, database, target, take_over, dag_run)
    collection = await _with_twin(search, replace(await _chosen(search, destination), target=target))
    if collection.stored is None or await _takes_words(qdrant, collection.stored):
        return collection
    if destination is Destination.CONNECTION:
        log.warning(
            "The Qdrant collection '%s' has no words to search by, and this version of Qdrant cannot add them: version "
            "1.18 can.",
            collection.physical,
        )
    return replace(collection, words=False)


async def _chosen(search: _Search, destination: Destination) -> Collection:
    """Find the collection, whether it has words or not."""
    qdrant, name = search.qdrant, search.name
    physical = search.behind(name)
    if physical is None:
        if destination is Destination.PREVIOUS:
            raise ConfigurationError(
                Code.NOTHING_TO_GO_BACK_TO,
                f"There is no collection '{name}' at {qdrant.config.address} to go back from.",
            )
        return await _own(search)

    published = await search.read(physical)
    embedding = _spelled(published, search.embedding)
    dimension = published.vectors.size if published.vectors else 0
    recipe = recipe_of(embedding)
    fits = (published.description.recipe or recipe) == recipe and dimension == embedding.dimension
    by_hand = physical == name
    if by_hand and dimension != embedding.dimension and published.description.recipe in (None, recipe):
        raise _wrong_dimension(search, physical, dimension, embedding)

    if destination is Destination.PREVIOUS:
        return await _previous(search, published)
    if fits:
        if destination is Destination.CONNECTION and not by_hand and await _needs_successor(search, published):
            return replace(await _own(search), outdated=physical, carried_from=physical)
        return Collection(name, physical, embedding, published)
    if destination is Destination.PUBLISHED or _was_left(name, published, embedding):
        return Collection(name, physical, _followed(published, embedding), published)
    if by_hand:
        if dimension != embedding.dimension:
            raise _wrong_dimension(search, physical, dimension, embedding)
        return Collection(name, physical, embedding, published, outdated=physical)
    return replace(await _own(search), outdated=physical)


async def _needs_successor(search: _Search, published: StoredCollection) -> bool:
    """Whether only a successor can be as it is to be, and nobody went back from that one on purpose."""
    left = published.description.left
    if left is not None and same_recipe(left, search.embedding):
        return False
    if differing := needs_rebuild(search.qdrant.config, published):
        log.info("Only a new collection than '%s' can have other options: %s.", published.physical, in_words(differing))
    return not await _serves(search, published)


async def _serves(search: _Search, stored: StoredCollection) -> bool:
    """Whether a collection has or can get words and all options."""
    return not needs_rebuild(search.qdrant.config, stored) and await _takes_words(search.qdrant, stored)


async def _takes_words(qdrant: Qdrant, stored: StoredCollection) -> bool:
    return stored.words or await adds_vectors(qdrant)


def is_own_name(name: str, physical: str) -> bool:
    """Whether the sync gives such names to collections behind an alias; one may have been made again by hand.

    :param name: the alias
    :param physical: the real collection
    """
    return re.fullmatch(rf"{re.escape(name)}__[0-9a-f]{{8}}", physical) is not None


async def _own(search: _Search) -> Collection:
    """The collection of the connection's recipe; there may be others of this name.

    One that cannot get words, or the options, is left to those who go back to it, and has a successor of another name.
    """
    recipe = identity_of(search.embedding).encode()
    salts = chain([b"", WORDS.encode()], (b"%d" % number for number in count()))
    while True:
        collection = await _named(search, recipe + next(salts))
        if collection.stored is None or await _serves(search, collection.stored):
            return collection


async def _named(search: _Search, recipe: bytes) -> Collection:
    """The collection with the name that belongs to a recipe."""
    physical = f"{search.name}__{hashlib.blake2b(recipe, digest_size=4).hexdigest()}"
    if physical not in search.collections:
        return Collection(search.name, physical, search.embedding)
    stored = await search.read(physical)
    if stored.vectors and stored.vectors.size != search.embedding.dimension:
        raise _wrong_dimension(search, physical, stored.vectors.size, search.embedding)
    return Collection(search.name, physical, _spelled(stored, search.embedding), stored)


async def _with_twin(search: _Search, collection: Collection) -> Collection:
    """Let a collection that is not filled yet take vectors from another one of this name and recipe.

    There is one if the collection that replaced it was lost, or if somebody restored a snapshot beside it.
    """
    if collection.carried_from or collection.name == collection.physical or collection.description.points is not None:
        return collection
    for physical in sorted(search.collections - {collection.physical}):
        if not is_own_name(collection.name, physical):
            continue
        stored = await read_stored(search.qdrant, physical, attempts=1)
        owner, vectors = stored.description.database, stored.vectors
        ours = owner is not None and owner.is_same(search.database) and stored.description.target == search.target.name
        alike = vectors is not None and vectors.size == collection.embedding.dimension
        if ours and alike and stored.description.recipe == collection.recipe:
            log.info("'%s' takes the vectors that it needs from '%s' where it can.", collection.physical, physical)
            return replace(collection, carried_from=physical)
    return collection


async def _previous(search: _Search, published: StoredCollection) -> Collection:
    """The collection that readers saw before; the published one if this very DAG run has gone back to that already."""
    if search.dag_run and published.description.rolled_back_by == search.dag_run:
        log.info("An earlier try of this DAG run has gone back to '%s'. It stays there.", published.physical)
        return Collection(search.name, published.physical, _followed(published, search.embedding), published)
    previous = published.description.previous
    if previous is None or previous not in search.collections:
        raise ConfigurationError(
            Code.NOTHING_TO_GO_BACK_TO,
            f"The collection '{published.physical}' behind '{search.name}' replaced no other one"
            f"{f' that is still there ({previous} is gone)' if previous else ''}: there is nothing to go back to.",
        )
    stored = await search.read(previous)
    return Collection(search.name, previous, _followed(stored, search.embedding), stored, outdated=published.physical)


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
    """Spell the connection's model as the collection does: the spelling is part of the hashes in its points."""
    recipe = stored.description.recipe
    return _followed(stored, embedding) if recipe and same_recipe(recipe, embedding) else embedding


def _followed(stored: StoredCollection, embedding: EmbeddingConfig) -> EmbeddingConfig:
    """The configuration to go on with the vectors of a collection, perhaps of another recipe."""
    recipe = stored.description.recipe
    followed = embedding_of(recipe, embedding) if recipe else embedding
    if followed is None:
        if embedding.api == "hashing" and (model := model_of(recipe)):
            raise ConfigurationError(
                Code.OLD_MODEL_GONE,
                f"The collection '{stored.physical}' was made with the model '{model}', and the api 'hashing' of the "
                f"connection '{embedding.conn_id}' cannot make such vectors. Run pattern_sync_full, which builds a new "
                "collection, or let the connection name that model again. Nothing is lost: the next run takes all that "
                "was missed.",
            )
        raise ConfigurationError(
            Code.COLLECTION_UNFIT,
            f"The collection '{stored.physical}' was made by a text recipe that this version does not know. Run "
            "pattern_sync_full: it builds a new one and then lets the alias name it.",
        )
    return followed


def _wrong_dimension(search: _Search, physical: str, dimension: int, embedding: EmbeddingConfig) -> ConfigurationError:
    return ConfigurationError(
        Code.COLLECTION_UNFIT,
        f"The Qdrant collection '{physical}' of {search.qdrant.config.address} holds vectors of {dimension} "
        f"dimensions, the connection '{embedding.conn_id}' makes {embedding.dimension}. Correct 'model' and "
        f"'dimension' in the connection's extra, or set {search.target.setting} to another name: the full sync then "
        "makes the collection. Nothing was changed.",
    )


async def _search(
    qdrant: Qdrant,
    name: str,
    embedding: EmbeddingConfig,
    database: DatabaseIdentity,
    target: SyncTarget,
    take_over: bool,
    dag_run: str | None,
) -> _Search:
    doing = f"looking for the collection '{name}'"
    collections = await qdrant.call(doing, qdrant.client.get_collections, attempts=1)
    aliases = await qdrant.call(doing, qdrant.client.get_aliases, attempts=1)
    return _Search(
        qdrant,
        name,
        embedding,
        database,
        target,
        take_over,
        dag_run,
        frozenset(item.name for item in collections.collections),
        {item.alias_name: item.collection_name for item in aliases.aliases},
    )
