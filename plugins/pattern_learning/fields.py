"""The columns that callers may name. Nothing else that a caller gives becomes part of a statement's text."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pattern_learning import values
from pattern_learning.values import Refusal, refuse


@dataclass(frozen=True)
class Field:
    """A column and its values.

    :param name: the column
    :param sql_type: its type in PostgreSQL
    :param parse: checks a value and converts it for asyncpg
    :param nullable: whether it may be null
    """

    name: str
    sql_type: str
    parse: Callable[[str, Any], Any]
    nullable: bool = True


def _by_name(*fields: Field) -> Mapping[str, Field]:
    return {field.name: field for field in fields}


_TEXT, _NUMBER, _TIME = "text", "double precision", "timestamptz"

TEMPLATE = _by_name(
    Field("id", "uuid", values.identity, nullable=False),
    Field("pattern_name", _TEXT, values.filled_text, nullable=False),
    Field("pattern_type", _TEXT, values.filled_text, nullable=False),
    Field("language", _TEXT, values.text),
    Field("category", _TEXT, values.text),
    Field("template_code", _TEXT, values.text),
    Field("description", _TEXT, values.text),
    Field("example_usage", _TEXT, values.text),
    Field("source", _TEXT, values.text),
    Field("confidence_score", _NUMBER, values.share, nullable=False),
    Field("usage_count", "bigint", values.count, nullable=False),
    Field("success_rate", _NUMBER, values.share, nullable=False),
    Field("complexity_score", _NUMBER, values.number),
    Field("maintainability_score", _NUMBER, values.number),
    Field("performance_score", _NUMBER, values.number),
    Field("parent_pattern_id", "uuid", values.identity),
    Field("is_deprecated", "boolean", values.flag, nullable=False),
    Field("deprecated_by_id", "uuid", values.identity),
    Field("discovered_at", _TIME, values.moment, nullable=False),
    Field("last_used_at", _TIME, values.moment),
    Field("created_by", _TEXT, values.text, nullable=False),
    Field("tags", "text[]", values.labels),
    Field("context", "jsonb", values.document),
)
"""Columns of ``pattern_templates`` that callers may set; the database sets ``updated_at``."""

COLUMNS = (*TEMPLATE.values(), Field("updated_at", _TIME, values.moment))
"""Columns of ``pattern_templates`` that are returned."""

CHANGEABLE = {name: field for name, field in TEMPLATE.items() if name != "id"}
"""Columns of a template that ``update`` may change."""

USAGE = _by_name(
    Field("event_id", "uuid", values.identity, nullable=False),
    Field("file_path", _TEXT, values.text),
    Field("project_id", "uuid", values.identity),
    Field("success", "boolean", values.flag),
    Field("execution_time_ms", "integer", values.milliseconds),
    Field("error_message", _TEXT, values.text),
    Field("quality_before", _NUMBER, values.quality),
    Field("quality_after", _NUMBER, values.quality),
    Field("context", "jsonb", values.document),
    Field("tags", "text[]", values.labels),
    Field("used_at", _TIME, values.moment, nullable=False),
)
"""Fields of ``usage_data``; ``quality_improvement`` is the database's own, and ``event_id`` is its column ``id``."""

RELATIONSHIP = _by_name(
    Field("relationship_id", "uuid", values.identity),
    Field("source_pattern_id", "uuid", values.identity),
    Field("target_pattern_id", "uuid", values.identity),
    Field("relationship_type", _TEXT, values.filled_text),
    Field("strength", _NUMBER, values.share),
    Field("description", _TEXT, values.text),
    Field("context", "jsonb", values.document),
)
"""Fields of ``relationship_data``."""

FILTERS = {
    **_by_name(
        *COLUMNS,
        Field("min_confidence_score", _NUMBER, values.share, nullable=False),
        Field("min_success_rate", _NUMBER, values.share, nullable=False),
    ),
}
"""Fields of ``filters``: equality on a column, all of some ``tags``, two lower bounds."""


def read_object(name: str, given: Any, known: Mapping[str, Field], *, drop_nulls: bool = False) -> dict[str, Any]:
    """Check an argument that is an object with fields.

    :param name: the argument, for messages
    :param given: what the caller gave
    :param known: the fields it may have
    :param drop_nulls: ignore a null in a field that is not nullable, instead of refusing it
    :return: values by field, in the order given; null is ``None``
    :raises Refusal: it is no object, has an unknown field, or a value that makes no sense
    """
    if given is None:
        raise Refusal(f"{name} is missing.")
    if not isinstance(given, Mapping):
        refuse(name, given, "an object of fields and values")
    found: dict[str, Any] = {}
    for key, value in given.items():
        field = known.get(key) if isinstance(key, str) else None
        if field is None:
            raise Refusal(f"{name} has the unknown field {values.plain(key)[:80]!r}; known are {', '.join(known)}.")
        if value is not None:
            found[field.name] = field.parse(f"{name}.{field.name}", value)
        elif field.nullable:
            found[field.name] = None
        elif not drop_nulls:
            raise Refusal(f"{name}.{field.name} is null; give it a value or leave it out.")
    return found


def require(name: str, found: Mapping[str, Any], required: Collection[str]) -> None:
    """Check that fields are present and not null.

    :raises Refusal: one is missing
    """
    if missing := [field for field in required if found.get(field) is None]:
        raise Refusal(f"{name} lacks {' and '.join(missing)}.")
