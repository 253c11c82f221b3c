"""Carry payload keys of others from one collection to its successor.

Within a collection Qdrant merges keys (:mod:`code_patterns.sync.target`). A collection that is built behind the alias
begins without them.
"""

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.stored_points import OTHERS, SCROLL_POINTS, KeysOfOthers, keys_of_others
from code_patterns.sync.target import request_parts

log = logging.getLogger(__name__)


async def carry_over(qdrant: Qdrant, old: str, new: str) -> int:
    """Give the points of a collection the payload keys of others that the same points of another one have.

    It can be repeated: keys that are gone from the old points are removed from the new ones. A key that is null is left
    behind, because merging removes such keys.

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
        wanted = {record.id: _filled(record.payload or {}) for record in records}
        found = await keys_of_others(qdrant, new, list(wanted))
        differing = {node_id: wanted[node_id] for node_id, keys in found.items() if _filled(keys) != wanted[node_id]}
        if differing:
            changed += len(differing)
            await _write(qdrant, new, differing, found)
        if offset is None:
            break
    if changed:
        log.info("Payload keys of others were carried from '%s' to '%s', for %s points.", old, new, f"{changed:,}")
    return changed


def _filled(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


async def _write(qdrant: Qdrant, collection: str, wanted: KeysOfOthers, found: KeysOfOthers) -> None:
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
