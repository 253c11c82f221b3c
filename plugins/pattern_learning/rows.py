"""Convert rows for callers."""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

_DOCUMENTS = ("context", "top_patterns")


def as_rows(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as dicts: ids are UUIDs, times are in UTC, documents are decoded."""
    return [as_row(record) for record in records]


def as_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row as :func:`as_rows` does."""
    row = dict(record)
    for name in _DOCUMENTS:
        if row.get(name) is not None:
            row[name] = json.loads(row[name])
    return row


def as_text(record: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Return a row whose ids and times are text, ISO 8601 for times.

    :param record: the row
    :param names: new names of some of its columns, by their old ones
    """
    return {names.get(name, name): as_json(value) for name, value in as_row(record).items()}


def as_json(value: Any) -> Any:
    """Return a value with ids and times as text, also inside lists and objects."""
    if value is None or isinstance(value, (str, float, int)):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    # Last, because checking an abstract class takes longest.
    if isinstance(value, Mapping):
        return {name: as_json(each) for name, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list) else value
