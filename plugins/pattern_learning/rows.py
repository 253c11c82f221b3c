"""Convert rows for callers."""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from pattern_learning.values import is_deeper

_DOCUMENTS = ("context", "top_patterns")
_DEEPEST = 500
"""What other writers have nested deeper would not pass through :func:`as_json`."""


def as_rows(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as dicts: ids are UUIDs, times are in UTC, documents are decoded."""
    return [as_row(record) for record in records]


def as_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row as :func:`as_rows` does."""
    row = dict(record)
    for name in _DOCUMENTS:
        if row.get(name) is not None:
            row[name] = _document(row[name])
    return row


def _document(text: str) -> Any:
    """Decode a document of any writer; null where it is nested too deep, or has a number that Python does not."""
    try:
        found = json.loads(text, parse_int=_integer, parse_float=_finite)
    except RecursionError:
        return None
    return None if is_deeper(found, _DEEPEST) else found


def _integer(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:
        # More digits than Python converts.
        return None


def _finite(digits: str) -> float | None:
    found = float(digits)
    return found if math.isfinite(found) else None


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
