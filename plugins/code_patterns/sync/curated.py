"""Carry payload keys of others from one collection to its successor.

Within a collection Qdrant merges keys (:mod:`code_patterns.sync.target`). A collection that is built behind the alias
begins without them.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from qdrant_client import models

from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.pattern import PAYLOAD_KEYS
from code_patterns.sync.stored_points import SCROLL_POINTS
from code_patterns.sync.target import request_parts

log = logging.getLogger(__name__)

OTHERS = models.PayloadSelectorExclude(exclude=[*PAYLOAD_KEYS])
"""Selects what the sync does not write."""

Keys = Mapping[Any, Mapping[str, Any]]
"""Payload keys of others, by id of the point."""


async def carry_over(qdrant: Qdrant, old: str, new: str) -> int:
    """Give the points of a collection the payload keys of others that the same points of another one have.

    It can be repeated: keys that are gone from the old points are removed from the new ones.

    :param old: the real collection that readers see
    :param new: the real collection that they are about to see
    :return: number of points that were changed
    """
    changed, offset = 0, None
    while True:
        start = offset
        records, offset = await qdrant.call(
            f"reading payloads of '{old}'",
            lambda start=start: qdrant.client.scroll(  # type: ignore[misc]
                old, limit=SCROLL_POINTS, offset=start, with_payload=OTHERS, with_vectors=False
            ),
        )
        wanted = {record.id: record.payload or {} for record in records}
        found = await _keys_of_others(qdrant, new, list(wanted))
        differing = {node_id: wanted[node_id] for node_id, keys in found.items() if keys != wanted[node_id]}
        if differing:
            changed += len(differing)
            await _write(qdrant, new, differing, found)
        if offset is None:
            break
    if changed:
        log.info("Payload keys of others were carried from '%s' to '%s', for %s points.", old, new, f"{changed:,}")
    return changed


async def _keys_of_others(qdrant: Qdrant, collection: str, ids: Sequence[Any]) -> Keys:
    """Payload keys of others; points that the collection does not have are absent."""
    if not ids:
        return {}
    records = await qdrant.call(
        f"reading payloads of '{collection}'",
        lambda: qdrant.client.retrieve(collection, ids=ids, with_payload=OTHERS, with_vectors=False),
    )
    return {record.id: record.payload or {} for record in records}


async def _write(qdrant: Qdrant, collection: str, wanted: Keys, found: Keys) -> None:
    operations: list[bytes] = []
    for node_id, keys in wanted.items():
        if gone := [key for key in found[node_id] if key not in keys]:
            operations.append(orjson.dumps({"delete_payload": {"keys": gone, "points": [node_id]}}))
        if keys:
            operations.append(orjson.dumps({"set_payload": {"payload": keys, "points": [node_id]}}))
    for part in request_parts([len(operation) for operation in operations]):
        body = b'{"operations":[%b]}' % b",".join(operations[part])
        await qdrant.call(
            f"writing payloads of '{collection}'",
            lambda body=body: qdrant.update_points(collection, body),  # type: ignore[misc]
        )
