"""What gRPC carries of payloads: fewer numbers and fewer levels than JSON has."""

from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import models

from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_errors import RefusedRequestError

MAX_DEPTH = 30
"""Deepest nesting of a payload key. Protocol buffers are read to 100 levels: an object takes three of them, and what is
around it in an answer some more. A point that could be written and not be read would stop every proof."""
_WHOLE = range(-(2**63), 2**63)
"""The whole numbers that gRPC has. Qdrant itself has those up to 2^64, and gives them as fractions over gRPC."""


class UncarriedPayloadError(RefusedRequestError):
    """This payload cannot be sent, whatever the server is."""


def points_of(config: QdrantConfig, body: bytes) -> Sequence[models.PointStruct]:
    """Return encoded points as gRPC carries them.

    :param config: the server
    :param body: JSON of a ``PointsList``
    :raises UncarriedPayloadError: a payload nests too deeply
    """
    points = models.PointsList.model_validate_json(body).points
    for point in points:
        point.payload = _carried(config, point.payload)
    return points


def operations_of(config: QdrantConfig, body: bytes) -> Sequence[models.UpdateOperation]:
    """Return encoded operations as gRPC carries them.

    :param config: the server
    :param body: JSON of ``UpdateOperations``
    :raises UncarriedPayloadError: a payload nests too deeply
    """
    operations = models.UpdateOperations.model_validate_json(body).operations
    for payload in _set_by(operations):
        payload.payload = _carried(config, payload.payload)
    return operations


def _set_by(operations: Sequence[models.UpdateOperation]) -> Iterator[models.SetPayload]:
    for operation in operations:
        if isinstance(operation, models.SetPayloadOperation):
            yield operation.set_payload
        elif isinstance(operation, models.OverwritePayloadOperation):
            yield operation.overwrite_payload


def _carried(config: QdrantConfig, payload: dict[str, Any] | None) -> dict[str, Any]:
    return {key: _value(config, key, value, 0) for key, value in (payload or {}).items()}


def _value(config: QdrantConfig, key: str, value: Any, depth: int) -> Any:
    if isinstance(value, int):
        return value if isinstance(value, bool) or value in _WHOLE else float(value)
    if not isinstance(value, dict | list):
        return value
    if depth == MAX_DEPTH:
        raise UncarriedPayloadError(
            f"The payload key '{key}' nests deeper than {MAX_DEPTH} levels, more than gRPC carries. Flatten it, or "
            f"turn the extra 'prefer_grpc' of '{config.conn_id}' off: REST carries 100."
        )
    if isinstance(value, list):
        return [_value(config, key, item, depth + 1) for item in value]
    return {name: _value(config, key, item, depth + 1) for name, item in value.items()}
