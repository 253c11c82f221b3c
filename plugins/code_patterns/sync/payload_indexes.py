"""The payload indexes of a collection behind the alias: one for every filter of a search."""

from collections.abc import Mapping

from qdrant_client import models

from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.collection import Collection

FILE_PATH = "file_path"
_PATHS = models.TextIndexParams(type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD, lowercase=True)
"""Any text between two slashes consists of whole words. So a folder's words are among those of its files' paths."""
INDEXES: Mapping[str, models.PayloadSchemaType | models.TextIndexParams] = {
    "created_at": models.PayloadSchemaType.DATETIME,
    FILE_PATH: _PATHS,
    "language": models.PayloadSchemaType.KEYWORD,
    "metadata.project_id": models.PayloadSchemaType.KEYWORD,
    "pattern_type": models.PayloadSchemaType.KEYWORD,
}
FILTERED_KEYS = frozenset(INDEXES)
"""Payload keys that readers filter by. Qdrant may refuse a filter without an index (strict mode), or take long."""
_ELSEWHERE = {"memory", "on_disk", "enable_hnsw"}
"""What says where an index is and what else uses it, not what it finds."""


async def make_indexes(qdrant: Qdrant, collection: Collection) -> None:
    """Make the indexes that a collection behind the alias lacks; those of a user's own are the user's choice.

    The embedded storage has none.
    """
    physical = collection.physical
    if qdrant.config.path or physical == collection.name or collection.stored is None:
        return
    for field in sorted(FILTERED_KEYS - collection.stored.indexed):
        await qdrant.call(
            f"making the payload index '{field}' of '{physical}'",
            lambda field=field: qdrant.client.create_payload_index(  # type: ignore[misc]
                physical, field_name=field, field_schema=INDEXES[field], wait=True
            ),
        )


def finds_folders(index: models.PayloadIndexInfo | None) -> bool:
    """Whether Qdrant finds a path by the name of a folder in it: without an index of texts, or with that of the sync.

    :param index: of the paths; ``None`` if there is none
    """
    if index is None or index.data_type is not models.PayloadSchemaType.TEXT:
        return True
    return isinstance(index.params, models.TextIndexParams) and _meant(index.params) == _meant(_PATHS)


def _meant(params: models.TextIndexParams) -> dict[str, object]:
    return {name: value for name, value in params.model_dump(exclude=_ELSEWHERE).items() if value}
