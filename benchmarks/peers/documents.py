"""What each peer makes of a row: the text that the sync embeds too, and the rest of the payload."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

COLUMNS = (
    "id, pattern_id, pattern_name, pattern_type, file_path, language, created_at, metadata, pattern_data ->> 'code'"
)
"""The columns of a query, in the order that :func:`document_of` takes."""


@dataclass(frozen=True)
class Document:
    """What each peer makes its document from.

    :param id: the row's id
    :param text: the text that the sync embeds too
    :param metadata: the rest of the payload
    """

    id: UUID
    text: str
    metadata: dict[str, Any]


def document_of(
    node_id: UUID,
    pattern_id: str,
    name: str,
    kind: str,
    path: str,
    language: str | None,
    created_at: datetime,
    metadata: dict[str, Any],
    code: str,
) -> Document:
    """Make the document of one row."""
    text = f"File: {PurePosixPath(path).name}\nLanguage: {language or 'unknown'}\nPath: {path}\n\nCode:\n{code}"
    payload = {
        "pattern_id": pattern_id,
        "pattern_name": name,
        "pattern_type": kind,
        "file_path": path,
        "language": language,
        "created_at": created_at.isoformat(),
        "metadata": metadata,
        "code": code,
    }
    return Document(node_id, text, payload)
