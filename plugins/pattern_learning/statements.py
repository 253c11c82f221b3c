"""Compose the statements whose columns the caller chooses.

The text comes from the files of ``include/sql`` and from the column names of :mod:`pattern_learning.fields`. What a
caller gives is always a parameter.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from code_patterns.sql import query
from pattern_learning.fields import COLUMNS, FILTERS, TEMPLATE, Field

_CAST = {"jsonb": "text::jsonb"}
# unnest() would take an array of arrays apart, so lists and documents are sent as text.
_ARRAY = {"jsonb": "text", "text[]": "text"}
# Adopted tables keep their types: numeric for double precision, varchar[] for text[], json for jsonb. Documents are
# read as text too, so that they are the same on a pool that decodes them. Times that Python does not have (infinite,
# before year 1, after year 9999) are null, as in the payloads of the sync.
_READ = {
    "double precision": "{0}::double precision",
    "jsonb": "{0}::text",
    "timestamptz": "CASE WHEN {0} >= '0001-01-01 00:00+00' AND {0} < '10000-01-01 00:00+00' THEN {0} END",
}
_TEMPLATE_COLUMNS = "".join(
    f", {_READ.get(field.sql_type, '{0}').format(f'template.{field.name}')} AS {field.name}"
    for field in COLUMNS
    if field.name != "id"
)


@cache
def statement(name: str) -> str:
    """Return the text of ``include/sql/<name>.sql``, with a template's columns at its mark."""
    return query(name).decode().replace("/* template columns */", _TEMPLATE_COLUMNS)


@lru_cache(256)
def insert(name: str, fields: tuple[Field, ...], first: int) -> str:
    """Return an INSERT with additional columns.

    :param name: file with the marks ``/* columns */`` and ``/* values */``
    :param fields: the further columns, in the order of their parameters
    :param first: number of the first one's parameter
    """
    columns = "".join(f", {field.name}" for field in fields)
    places = "".join(f", {_parameter(field, number)}" for number, field in enumerate(fields, first))
    return statement(name).replace("/* columns */", columns).replace("/* values */", places)


@lru_cache(256)
def update(fields: tuple[Field, ...]) -> str:
    """Return the UPDATE of a template; parameter 1 is its id, the columns' values follow."""
    assigned = "".join(f", {field.name} = {_parameter(field, number)}" for number, field in enumerate(fields, 2))
    return statement("learning_update").replace("/* assignments */", assigned)


@lru_cache(256)
def batch_insert(fields: tuple[Field, ...]) -> str:
    """Return the INSERT of many templates; every parameter is an array, the first one of ids."""
    columns = "".join(f", {field.name}" for field in fields)
    arrays = "".join(
        f", ${number}::{_ARRAY.get(field.sql_type, field.sql_type)}[]" for number, field in enumerate(fields, 2)
    )
    taken = "".join(f", given.{field.name}::{field.sql_type}" for field in fields)
    text = statement("learning_batch_insert").replace("/* columns */", columns)
    return text.replace("/* arrays */", arrays).replace("/* taken */", taken)


def array_literal(labels: Sequence[str]) -> str:
    """Return a list of texts as PostgreSQL writes an array."""
    quoted = (label.replace("\\", "\\\\").replace('"', '\\"') for label in labels)
    return "{" + ",".join(f'"{label}"' for label in quoted) + "}"


def filtered(name: str, conditions: Mapping[str, Any], first: int) -> tuple[str, list[Any]]:
    """Return a SELECT of the templates that meet all conditions, and the parameters of the conditions.

    Deprecated templates are left out unless a condition on ``is_deprecated`` asks for them.

    :param name: file with the mark ``/* conditions */`` after a WHERE, and ``template`` as the table's name
    :param conditions: from :func:`pattern_learning.fields.read_object`
    :param first: number of the first condition's parameter
    """
    null = tuple(sorted(field for field, value in conditions.items() if value is None))
    valued = tuple(field for field, value in conditions.items() if value is not None)
    return _filtered(name, null, valued, first), [conditions[field] for field in valued]


@lru_cache(256)
def _filtered(name: str, null: tuple[str, ...], valued: tuple[str, ...], first: int) -> str:
    found = [f"template.{field} IS NULL" for field in null]
    found += [_condition(FILTERS[field], number) for number, field in enumerate(valued, first)]
    if "is_deprecated" not in valued:
        found.append("template.is_deprecated IS NOT TRUE")
    return statement(name).replace("/* conditions */", "".join(f"{condition} AND " for condition in found))


def _condition(field: Field, number: int) -> str:
    if field.name == "tags":
        return f"template.tags::text[] @> {_parameter(field, number)}"
    if field.name == "is_deprecated":
        return f"coalesce(template.is_deprecated, false) = {_parameter(field, number)}"
    if field.name.startswith("min_"):
        return f"template.{TEMPLATE[field.name.removeprefix('min_')].name} >= {_parameter(field, number)}"
    column = f"template.{field.name}" + ("::jsonb" if field.sql_type == "jsonb" else "")
    return f"{column} = {_parameter(field, number)}"


def _parameter(field: Field, number: int) -> str:
    return f"${number}::{_CAST.get(field.sql_type, field.sql_type)}"
