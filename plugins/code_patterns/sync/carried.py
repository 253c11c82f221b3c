"""Take vectors from collections that hold them already, instead of making them again."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from code_patterns.errors import PatternsError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.collection import Collection, read_stored
from code_patterns.sync.embed import Embedding
from code_patterns.sync.pattern import EMBEDDING_HASH, TRUNCATED, Pattern
from code_patterns.sync.stored_points import usable_vector_of

log = logging.getLogger(__name__)

DONOR_ATTEMPTS = 3
"""How often a collection of another target is asked: it only saves work."""
LOOK_SECONDS = 300.0
"""How long it counts what such a collection was found to be: a stream takes changes every moment, for an hour."""


class CarriedVectors:
    """The vectors of one collection.

    :param qdrant: the open Qdrant
    :param name: the collection, or an alias of it
    :param dimension: the right length of a vector
    :param attempts: how often it is asked; ``None`` for Qdrant's policy
    """

    def __init__(self, qdrant: Qdrant, name: str, dimension: int, attempts: int | None = None) -> None:
        self.name = name
        self._qdrant = qdrant
        self._dimension = dimension
        self._attempts = attempts

    async def of(self, patterns: Sequence[Pattern]) -> Mapping[str, Embedding]:
        """Vectors of patterns by embedding hash; a pattern whose point has another hash there has none."""
        wanted = {str(pattern.id): pattern.embedding_hash for pattern in patterns}
        records = await self._qdrant.call(
            f"reading vectors of '{self.name}'",
            lambda: self._qdrant.client.retrieve(
                self.name, ids=[*wanted], with_payload=[EMBEDDING_HASH, TRUNCATED], with_vectors=True
            ),
            attempts=self._attempts,
        )
        found = {}
        for record in records:
            payload, vector = record.payload or {}, usable_vector_of(record, self._dimension)
            key = wanted.get(str(record.id))
            if vector is not None and key is not None and payload.get(EMBEDDING_HASH) == key:
                found[key] = Embedding(vector, payload.get(TRUNCATED) is True)
        return found


class Donors:
    """Collections of other targets that hold vectors made as those of a run's collection are.

    One that cannot be read, or not any more, is left out until they are looked at again, and its vectors are made.

    :param qdrant: the open Qdrant
    """

    def __init__(self, qdrant: Qdrant) -> None:
        self._qdrant = qdrant
        self._looking = asyncio.Lock()
        self._recipe: str | None = None
        self._looked_at = 0.0
        self._found: list[CarriedVectors] = []

    async def usable(self, collection: Collection) -> Sequence[CarriedVectors]:
        """Return those that can be asked.

        :param collection: the collection that is written; its target names them
        """
        async with self._looking:
            if self._recipe != collection.recipe or time.monotonic() - self._looked_at > LOOK_SECONDS:
                looks = await asyncio.gather(*(self._look(name, collection) for name in collection.target.donors))
                self._found = [donor for donor in looks if donor]
                self._recipe, self._looked_at = collection.recipe, time.monotonic()
            # A copy, because batches leave some out.
            return [*self._found]

    async def ask(self, donor: CarriedVectors, patterns: Sequence[Pattern]) -> Mapping[str, Embedding]:
        """Return the vectors that one of them has; see :meth:`CarriedVectors.of`."""
        try:
            return await donor.of(patterns)
        except PatternsError as error:
            if donor in self._found:
                self._found.remove(donor)
                _tell(donor, error)
            return {}

    async def _look(self, name: str, collection: Collection) -> CarriedVectors | None:
        dimension = collection.embedding.dimension
        donor = CarriedVectors(self._qdrant, name, dimension, DONOR_ATTEMPTS)
        try:
            stored = await read_stored(self._qdrant, name, attempts=DONOR_ATTEMPTS)
            vectors = stored.fit_vectors(f"The Qdrant collection '{name}' of another target", None)
        except PatternsError as error:
            _tell(donor, error)
            return None
        description = stored.description
        alike = description.recipe == collection.recipe and vectors.size == dimension
        return donor if alike and description.identity != collection.identity else None


class KnownVectors:
    """Vectors that a run need not make: of the collection that its own one replaces, and of other targets' collections.

    :param qdrant: the open Qdrant
    :param collection: the collection that is written
    :param donors: the collections of other targets
    """

    def __init__(self, qdrant: Qdrant, collection: Collection, donors: Donors) -> None:
        self.copied = 0
        """How many vectors other targets' collections have given."""
        self.carried = 0
        """How many vectors the collection that this one replaces has given."""
        self._collection = collection
        self._donors = donors
        carried = collection.carried_from
        self._carried = CarriedVectors(qdrant, carried, collection.embedding.dimension) if carried else None
        self.any = bool(carried or collection.target.donors)
        """Whether there is a collection to ask."""

    async def of(self, patterns: Sequence[Pattern]) -> Mapping[str, Embedding]:
        """Vectors of patterns by embedding hash, as far as they are known.

        :raises PatternsError: Qdrant does not give those of the collection that this one replaces
        """
        found = dict(await self._carried.of(patterns)) if self._carried else {}
        self.carried += len(found)
        missing = [pattern for pattern in patterns if pattern.embedding_hash not in found]
        if missing:
            donors = await self._donors.usable(self._collection)
            # All at once: most texts are in none of them, and then one after the other would take the time of all.
            copies: dict[str, Embedding] = {}
            for answer in await asyncio.gather(*(self._donors.ask(donor, missing) for donor in donors)):
                copies |= answer
            self.copied += len(copies)
            found |= copies
        return found


def _tell(donor: CarriedVectors, error: PatternsError) -> None:
    log.info("No vectors are copied from '%s', so they are made: %s", donor.name, error)
