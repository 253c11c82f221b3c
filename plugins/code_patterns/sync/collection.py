"""What is known of the Qdrant collection that a run reads and writes."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.words import WORDS
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_errors import CollectionLostError
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.pattern import recipe_of
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

METADATA_KEY = "code_patterns"


class Destination(Enum):
    """Which collection a run writes if readers see one of another recipe.

    :cvar CONNECTION: the collection of the embedding connection's recipe, beside the one that readers see
    :cvar PUBLISHED: the collection that readers see, by its own recipe
    :cvar PREVIOUS: the collection that readers saw before, by its own recipe
    """

    CONNECTION = "connection"
    PUBLISHED = "published"
    PREVIOUS = "previous"


@dataclass(frozen=True)
class Description:
    """The description of a collection: its metadata in Qdrant.

    :param identity: distinguishes this collection from others of the same name
    :param recipe: how its vectors were made, from :func:`~code_patterns.sync.pattern.recipe_of`
    :param previous: the collection that readers saw before this one
    :param left: the recipe from which somebody went back to this collection
    :param words: how its words were made when it was last proven to agree with PostgreSQL, see
        :data:`~code_patterns.embeddings.words.WORDS_RECIPE`
    :param points: number of points when it was adopted, or last proven to agree with PostgreSQL
    :param token_limit: the longest text that the embedding server takes, in tokens as
        :func:`~code_patterns.embeddings.texts.count_tokens` estimates them; ``None`` while none was too long
    :param database: the database of its patterns
    :param progress: the token that the database holds too; every run that writes changes it
    :param asked: options that it was created with and that cannot be changed; Qdrant may have given it others
    :param deferred: the options of its index that it gets when its first load is complete, by name; ``None`` if it has
        them
    :param unused_since: when :mod:`~code_patterns.sync.old_collections` first saw that no alias names it, in ISO 8601;
        whatever writes or publishes it removes this
    :param target: the target whose it is; ``None`` for the one without a name
    :param rows: which rows it held when it was last proven to agree with PostgreSQL, see
        :attr:`~code_patterns.sync.row_filter.RowFilter.text`
    :param rolled_back_by: the DAG run that went back to this collection, see
        :attr:`~code_patterns.run_identity.RunIdentity.dag_run`; ``None`` if none did when readers last got to see it
    """

    identity: str | None = None
    recipe: str | None = None
    previous: str | None = None
    left: str | None = None
    words: str | None = None
    points: int | None = None
    token_limit: int | None = None
    database: DatabaseIdentity | None = None
    progress: str | None = None
    asked: Mapping[str, int] | None = None
    deferred: Mapping[str, int] | None = None
    unused_since: str | None = None
    target: str | None = None
    rows: str | None = None
    rolled_back_by: str | None = None


@dataclass(frozen=True)
class StoredCollection:
    """A collection in Qdrant.

    :param physical: its real name
    :param vectors: parameters of its unnamed vector; ``None`` if its vectors have names
    :param description: its description
    :param indexed: payload keys with an index
    :param sparse: parameters of its sparse vector :data:`~code_patterns.embeddings.words.WORDS`, if it has that one
    :param config: its options, as Qdrant says them
    """

    physical: str
    vectors: models.VectorParams | None
    description: Description
    indexed: frozenset[str] = frozenset()
    sparse: models.SparseVectorParams | None = None
    config: models.CollectionConfig | None = None

    @property
    def words(self) -> bool:
        """Whether it has the sparse vector for words."""
        return self.sparse is not None

    @property
    def _unfit(self) -> list[str]:
        """What makes its vectors unusable for the sync or for readers, in words."""
        if self.vectors is None:
            return ["only named vectors"]
        found = []
        if self.vectors.distance is not models.Distance.COSINE:
            found.append(f"the distance {self.vectors.distance.value}")
        if self.vectors.datatype not in (None, models.Datatype.FLOAT32):
            found.append(f"vectors of the datatype {self.vectors.datatype.value}")
        if self.vectors.multivector_config:
            found.append("several vectors for each point (multivector)")
        if self.sparse and self.sparse.modifier is not models.Modifier.IDF:
            found.append(f"a sparse vector '{WORDS}' without the modifier IDF")
        return found

    def fit_vectors(self, subject: str, target: SyncTarget | None = WITHOUT_NAME) -> models.VectorParams:
        """Return the parameters of its vectors, which the sync and readers can use.

        :param subject: what the message calls the collection
        :param target: whose it is; ``None`` if nobody has to act
        :raises ConfigurationError: its vectors are of another kind
        """
        unfit = self._unfit
        if unfit or self.vectors is None:
            remedy = (
                f" Set {target.setting} to another name: the full sync then makes the collection." if target else ""
            )
            raise ConfigurationError(
                Code.COLLECTION_UNFIT,
                f"{subject} has {' and '.join(unfit)}; the sync needs one unnamed float32 vector with cosine distance, "
                f"and makes '{WORDS}' itself.{remedy}",
            )
        return self.vectors


@dataclass(frozen=True)
class Collection:
    """The collection that a run reads and writes; made by :func:`~code_patterns.sync.resolution.resolve`.

    :param name: what users call it: an alias, or a collection of their own
    :param physical: the real collection
    :param embedding: how its vectors are made
    :param stored: the collection in Qdrant; ``None`` until it is created
    :param outdated: the collection that readers of ``name`` see until this one is published; a user's own collection
        without an alias is its own predecessor
    :param words: whether its points have words, or get them in this run
    :param carried_from: the collection that this one replaces only because its points can have no words, or because
        it has other options; its vectors are the same
    :param target: the target that this run is for
    :param fresh_identity: its identity, until it has a description
    """

    name: str
    physical: str
    embedding: EmbeddingConfig
    stored: StoredCollection | None = None
    outdated: str | None = None
    words: bool = True
    carried_from: str | None = None
    target: SyncTarget = WITHOUT_NAME
    fresh_identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def replicated(self) -> bool:
        """Whether its shards are on several nodes of a cluster, which may disagree."""
        config = self.stored.config if self.stored else None
        return config is not None and (config.params.replication_factor or 1) > 1

    @property
    def description(self) -> Description:
        """Its description; empty until it is created."""
        return self.stored.description if self.stored else Description()

    @property
    def recipe(self) -> str:
        """How its vectors are made, in a form two runs can compare."""
        return recipe_of(self.embedding)

    @property
    def identity(self) -> str:
        """Distinguishes it from others of the same name."""
        return self.description.identity or self.fresh_identity


async def read_stored(qdrant: Qdrant, physical: str, *, attempts: int | None = None) -> StoredCollection:
    """Read a collection's parameters and description from Qdrant.

    :param physical: its real name
    :param attempts: most attempts; ``None`` for the policy's
    :raises PatternsError: Qdrant cannot answer, or has no such collection
    """
    doing = f"reading the collection '{physical}'"
    info = await qdrant.call(doing, lambda: qdrant.client.get_collection(physical), attempts=attempts)
    return stored_of(physical, info)


def stored_of(physical: str, info: models.CollectionInfo) -> StoredCollection:
    """Return what an answer of Qdrant says about a collection.

    :param physical: its real name
    :param info: the answer
    """
    vectors = info.config.params.vectors
    stored = (info.config.metadata or {}).get(METADATA_KEY)
    stored = stored if isinstance(stored, dict) else {}
    return StoredCollection(
        physical,
        vectors if isinstance(vectors, models.VectorParams) else None,
        Description(
            **{field.name: stored.get(field.name) for field in fields(Description) if field.name != "database"},
            database=DatabaseIdentity.read(stored.get("database")),
        ),
        frozenset(info.payload_schema),
        (info.config.params.sparse_vectors or {}).get(WORDS),
        info.config,
    )


def assert_same(qdrant: Qdrant, collection: Collection, stored: StoredCollection) -> None:
    """Check that a collection is still the one that was found when the run started.

    :param stored: the collection of that name as it is now
    :raises CollectionLostError: it is another one, or has lost its sparse vector
    """
    if stored.description.identity != collection.identity:
        raise CollectionLostError(
            f"While this run wrote '{stored.physical}' in Qdrant at {qdrant.config.address}, something else replaced "
            "that collection by another one of the same name. The next run compares everything."
        )
    if collection.stored and collection.stored.words and not stored.words:
        raise CollectionLostError(
            f"While this run wrote '{stored.physical}' in Qdrant at {qdrant.config.address}, something else removed "
            f"its sparse vector '{WORDS}'. The next run adds it and compares everything."
        )
