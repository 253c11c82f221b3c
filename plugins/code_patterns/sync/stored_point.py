"""Read a point of Qdrant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_client import models

from code_patterns.sync.diff import Fingerprint, PointId
from code_patterns.sync.pattern import CONTENT_HASH, EMBEDDING_HASH, TRUNCATED


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A whole point.

    :param id: its id
    :param payload: its payload
    :param vector_usable: whether its vector has the right length, is finite and not zero
    """

    id: PointId
    payload: Mapping[str, Any]
    vector_usable: bool


def fingerprint_of(record: models.Record) -> Fingerprint:
    """The hashes of a point, if it has any."""
    payload = record.payload or {}
    return Fingerprint(
        _point_id(record), payload.get(EMBEDDING_HASH), payload.get(CONTENT_HASH), payload.get(TRUNCATED) is True
    )


def stored_point_of(record: models.Record, dimension: int) -> StoredPoint:
    """The whole point.

    :param dimension: the right length of its vector
    """
    vector = np.asarray(record.vector, dtype=np.float64) if isinstance(record.vector, list) else np.empty(0)
    usable = vector.shape == (dimension,) and bool(np.isfinite(vector).all()) and bool(vector.any())
    return StoredPoint(_point_id(record), record.payload or {}, usable)


def _point_id(record: models.Record) -> PointId:
    return record.id if isinstance(record.id, int) else UUID(str(record.id))
