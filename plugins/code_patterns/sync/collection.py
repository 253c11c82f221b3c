"""All that is known of the Qdrant collection that a run reads and writes."""

import uuid
from dataclasses import dataclass, field, fields
from enum import Enum

from qdrant_client import models

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.pattern import recipe_of

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
    :param token_limit: the longest text that the embedding server takes, in tokens as
        :func:`~code_patterns.embeddings.texts.count_tokens` estimates them; ``None`` as long as none was too long
    :param database: whose patterns it holds
    :param progress: token that this database knows too, which changes with every run that writes
    """

    identity: str | None = None
    recipe: str | None = None
    previous: str | None = None
    left: str | None = None
    points: int | None = None
    token_limit: int | None = None
    database: DatabaseIdentity | None = None
    progress: str | None = None


@dataclass(frozen=True)
class StoredCollection:
    """A collection as it stands in Qdrant.

    :param physical: its real name
    :param vectors: what its unnamed vector is like; ``None`` where its vectors have names
    :param description: what it says about itself
    """

    physical: str
    vectors: models.VectorParams | None
    description: Description

    @property
    def unfit(self) -> list[str]:
        """What its vectors have that the sync, or readers of its points, cannot work with, in words."""
        if self.vectors is None:
            return ["only named vectors"]
        found = []
        if self.vectors.distance is not models.Distance.COSINE:
            found.append(f"the distance {self.vectors.distance.value}")
        if self.vectors.datatype not in (None, models.Datatype.FLOAT32):
            found.append(f"vectors of the datatype {self.vectors.datatype.value}")
        if self.vectors.multivector_config:
            found.append("several vectors for each point (multivector)")
        return found


@dataclass(frozen=True)
class Collection:
    """The collection that a run reads and writes; made by :func:`~code_patterns.sync.resolution.resolve`.

    :param name: what users call it: an alias, or a collection of their own
    :param physical: the real collection
    :param embedding: how its vectors are made
    :param stored: what stands in Qdrant; ``None`` until it is created
    :param outdated: the collection that readers of ``name`` see until this one is published; a user's own collection,
        which no alias stands before, is its own predecessor
    :param fresh_identity: what will tell it from others, until it is described
    """

    name: str
    physical: str
    embedding: EmbeddingConfig
    stored: StoredCollection | None = None
    outdated: str | None = None
    fresh_identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def description(self) -> Description:
        """What it says about itself: nothing, where it is not there yet."""
        return self.stored.description if self.stored else Description()

    @property
    def recipe(self) -> str:
        """How its vectors are made, in a form two runs can compare."""
        return recipe_of(self.embedding)

    @property
    def identity(self) -> str:
        """What tells it from another one of its name."""
        return self.description.identity or self.fresh_identity


async def read_stored(qdrant: Qdrant, physical: str, *, attempts: int | None = None) -> StoredCollection:
    """Ask Qdrant what it knows of a collection.

    :param physical: its real name
    :param attempts: how often the request is sent at most; ``None`` leaves it to the policy
    :raises PatternsError: Qdrant cannot answer, or has no such collection
    """
    info = await qdrant.call(
        f"reading the collection '{physical}'", lambda: qdrant.client.get_collection(physical), attempts=attempts
    )
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
    )
