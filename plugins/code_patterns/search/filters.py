"""The filters of a query: what Qdrant checks, and what is checked again here."""

import re
from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from code_patterns.search.query import SearchQuery
from code_patterns.sync.payload_indexes import FILE_PATH

PROJECT = "metadata.project_id"
"""Where a payload names its project."""
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_EXACT = {"language": "language", "pattern_type": "pattern_type"}


def filter_of(query: SearchQuery, *, by_folders: bool, by_numbers: bool) -> models.Filter | None:
    """Make the filter that Qdrant applies; ``None`` if there is nothing to check.

    Qdrant cannot compare beginnings. It checks that a path has all whole folder names of the prefix;
    :func:`allows` checks the rest.

    :param by_folders: whether Qdrant finds a path by the name of a folder in it; a full-text index of somebody else
        decides itself what a word is, and could leave out paths that begin so
    :param by_numbers: whether Qdrant may be asked for a project that is a number; the index holds texts only
    """
    must: list[models.Condition] = [
        _is(key, value) for field, key in _EXACT.items() if (value := getattr(query, field)) is not None
    ]
    if query.project is not None:
        number = by_numbers and _WHOLE_NUMBER.fullmatch(query.project)
        text = _is(PROJECT, query.project)
        must.append(models.Filter(should=[text, _is(PROJECT, int(query.project))]) if number else text)
    if query.created_since:
        must.append(models.FieldCondition(key="created_at", range=models.DatetimeRange(gte=query.created_since)))
    if query.path_prefix and by_folders:
        *folders, _ = query.path_prefix.split("/")
        must += [
            models.FieldCondition(key=FILE_PATH, match=models.MatchText(text=folder))
            for folder in folders
            # A name that has no word matches nothing.
            if any(letter.isascii() and letter.isalnum() for letter in folder)
        ]
    return models.Filter(must=must) if must else None


def _is(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def allows(query: SearchQuery, payload: Mapping[str, Any] | None) -> bool:
    """Whether a point passes what Qdrant cannot check.

    :param payload: at least the file path, if the query has a prefix
    """
    if not query.path_prefix:
        return True
    path = (payload or {}).get(FILE_PATH)
    return isinstance(path, str) and path.startswith(query.path_prefix)
