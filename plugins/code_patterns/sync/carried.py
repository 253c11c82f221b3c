"""Take vectors from collections that hold them already, instead of making them again."""

import asyncio
import logging
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


class KnownVectors:
    """Vectors that a run need not make: of the collection that its own one replaces, and of other targets' collections.

    A donor that cannot be read is left out for the rest of the run, and its vectors are made.

    :param qdrant: the open Qdrant
    :param collection: the collection that is written
    """

    def __init__(self, qdrant: Qdrant, collection: Collection) -> None:
        self.copied = 0
        """How many vectors other targets' collections have given."""
        self.carried = 0
        """How many vectors the collection that this one replaces has given."""
        self._qdrant = qdrant
        self._collection = collection
        self._dimension = collection.embedding.dimension
        carried = collection.carried_from
        self._carried = CarriedVectors(qdrant, carried, self._dimension) if carried else None
        self.any = bool(carried or collection.target.donors)
        """Whether there is a collection to ask."""
        self._looking = asyncio.Lock()
        self._donors: list[CarriedVectors] | None = None

    async def of(self, patterns: Sequence[Pattern]) -> Mapping[str, Embedding]:
        """Vectors of patterns by embedding hash, as far as they are known.

        :raises PatternsError: Qdrant does not give those of the collection that this one replaces
        """
        found = dict(await self._carried.of(patterns)) if self._carried else {}
        self.carried += len(found)
        for donor in await self._usable_donors():
            missing = [pattern for pattern in patterns if pattern.embedding_hash not in found]
            if not missing:
                break
            try:
                copies = await donor.of(missing)
            except PatternsError as error:
                self._leave_out(donor, error)
            else:
                found |= copies
                self.copied += len(copies)
        return found

    async def _usable_donors(self) -> Sequence[CarriedVectors]:
        """The donors whose vectors are made as this collection's are; a copy, because batches leave some out."""
        async with self._looking:
            if self._donors is None:
                names = self._collection.target.donors
                looked_at = await asyncio.gather(*map(self._donor, names))
                self._donors = [donor for donor in looked_at if donor]
            return [*self._donors]

    async def _donor(self, name: str) -> CarriedVectors | None:
        donor = CarriedVectors(self._qdrant, name, self._dimension, DONOR_ATTEMPTS)
        try:
            stored = await read_stored(self._qdrant, name, attempts=DONOR_ATTEMPTS)
            vectors = stored.fit_vectors(f"The Qdrant collection '{name}' of another target")
        except PatternsError as error:
            _tell(donor, error)
            return None
        description = stored.description
        alike = description.recipe == self._collection.recipe and vectors.size == self._dimension
        return donor if alike and description.identity != self._collection.identity else None

    def _leave_out(self, donor: CarriedVectors, error: PatternsError) -> None:
        if self._donors and donor in self._donors:
            self._donors.remove(donor)
            _tell(donor, error)


def _tell(donor: CarriedVectors, error: PatternsError) -> None:
    log.info("No vectors are copied from '%s', so they are made: %s", donor.name, error)
