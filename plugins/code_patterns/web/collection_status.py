"""What Qdrant says about the collection of the patterns."""

import asyncio
from typing import Any

from qdrant_client import models

from code_patterns.servers.qdrant import Qdrant, open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.collection import stored_of
from code_patterns.sync.pattern import model_of

EMBEDDED_WAIT_SECONDS = 1.0
"""How long a request waits for an embedded storage that another process has open."""
_BYTES_PER_NUMBER = 4


async def collection_status(config: QdrantConfig, name: str) -> dict[str, Any]:
    """Describe the collection behind a name.

    :param name: alias or collection, as users write it
    :raises OutageError: Qdrant does not answer, or another process has the embedded storage open
    :raises ConfigurationError: it refuses to
    """
    if config.path:
        # Opening an embedded storage loads all of it.
        return await asyncio.to_thread(asyncio.run, _read(config, name))
    return await _read(config, name)


async def _read(config: QdrantConfig, name: str) -> dict[str, Any]:
    client = await open_client(config, wait_seconds=EMBEDDED_WAIT_SECONDS)
    qdrant = Qdrant(config, client)
    try:
        listed = await qdrant.call("listing the collections", client.get_collections, attempts=1)
        aliases = await qdrant.call("listing the aliases", client.get_aliases, attempts=1)
        alias = next((item.collection_name for item in aliases.aliases if item.alias_name == name), None)
        physical = alias or name
        if physical not in {item.name for item in listed.collections}:
            return {"name": name, "collection": None}
        doing = f"reading the collection '{physical}'"
        info = await qdrant.call(doing, lambda: client.get_collection(physical), attempts=1)
    finally:
        await client.close()
    return {"name": name, "collection": physical, "is_alias": alias is not None, **_described(physical, info)}


def _described(physical: str, info: models.CollectionInfo) -> dict[str, Any]:
    stored = stored_of(physical, info)
    points, dimension = info.points_count or 0, stored.vectors.size if stored.vectors else None
    return {
        "status": info.status.value,
        "points": points,
        "model": model_of(stored.description.recipe),
        "dimension": dimension,
        "words": "words" in (info.config.params.sparse_vectors or {}),
        "vector_bytes": points * (dimension or 0) * _BYTES_PER_NUMBER,
    }
