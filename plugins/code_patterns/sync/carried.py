"""Take vectors from the collection that another one replaces, where both are of the same recipe."""

from collections.abc import Mapping, Sequence

import numpy as np

from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.embed import Embedding
from code_patterns.sync.pattern import EMBEDDING_HASH, TRUNCATED, Pattern
from code_patterns.sync.stored_points import dense_of


class CarriedVectors:
    """The vectors of a collection.

    :param qdrant: the open Qdrant
    :param physical: the collection
    """

    def __init__(self, qdrant: Qdrant, physical: str) -> None:
        self._qdrant = qdrant
        self._physical = physical

    async def of(self, patterns: Sequence[Pattern]) -> Mapping[str, Embedding]:
        """Vectors of patterns by embedding hash; a pattern that has changed since has none."""
        records = await self._qdrant.call(
            f"reading vectors of '{self._physical}'",
            lambda: self._qdrant.client.retrieve(
                self._physical,
                ids=[str(pattern.id) for pattern in patterns],
                with_payload=[EMBEDDING_HASH, TRUNCATED],
                with_vectors=True,
            ),
        )
        found = {}
        for record in records:
            payload, vector = record.payload or {}, dense_of(record)
            if vector is not None and np.isfinite(vector).all() and vector.any():
                found[payload.get(EMBEDDING_HASH, "")] = Embedding(vector, payload.get(TRUNCATED) is True)
        return {
            pattern.embedding_hash: found[pattern.embedding_hash]
            for pattern in patterns
            if pattern.embedding_hash in found
        }
