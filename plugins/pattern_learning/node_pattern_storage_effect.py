"""Store templates: insert, update, delete, and insert in batches."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, ClassVar
from uuid import UUID, uuid4

import asyncpg

from pattern_learning import arguments, fields, statements
from pattern_learning.contract import ASYNCPG_AVAILABLE, ModelContractEffect, ModelResult
from pattern_learning.effect import Operation, PatternEffect
from pattern_learning.refusals import invalid_reference, unknown_template, violated_key
from pattern_learning.rows import as_text
from pattern_learning.values import Refusal

__all__ = ["ASYNCPG_AVAILABLE", "ModelContractEffect", "ModelResult", "NodePatternStorageEffect"]

CHUNK_ROWS = 2000
"""Most templates sent in one statement; a batch of any size stays one transaction."""

_REQUIRED = ("pattern_name", "pattern_type")
_REFERENCES = ("parent_pattern_id", "deprecated_by_id")
_NAMED_DUPLICATES = 5


class NodePatternStorageEffect(PatternEffect):
    """Writes ``pattern_templates``."""

    name = "storage"

    async def _insert(self, contract: ModelContractEffect) -> dict[str, Any]:
        data = _template("data", contract.data)
        # Made here, not by the database: a template that is sent again has the same id.
        template_id = data.pop("id", None) or uuid4()
        further = tuple(fields.TEMPLATE[name] for name in data if name not in _REQUIRED)
        statement = statements.insert("learning_insert", further, 5)
        key, given = [data[name] for name in _REQUIRED], [data[field.name] for field in further]

        async def store(again: bool) -> Any:
            async with self._connection() as connection:
                return await connection.fetchrow(statement, template_id, *key, again, *given)

        try:
            row = await self._until_answered(store)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise _explained("data", data, error) from None
        if row is None:
            raise Refusal(f"data.id: a template with id {template_id} already exists.")
        return as_text(row, id="pattern_id")

    async def _update(self, contract: ModelContractEffect) -> dict[str, Any]:
        pattern_id = arguments.pattern_id(contract)
        if contract.data is None or contract.data == {}:
            raise Refusal("No updates: data is missing or empty; name the columns to change and their new values.")
        data = fields.read_object("data", contract.data, fields.CHANGEABLE)
        statement = statements.update(tuple(fields.TEMPLATE[name] for name in data))

        async def change(_: bool) -> Any:
            async with self._connection() as connection:
                return await connection.fetchrow(statement, pattern_id, *data.values())

        try:
            row = await self._until_answered(change)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise _explained("data", data, error) from None
        if row is None:
            raise unknown_template(pattern_id)
        return {**as_text(row, id="pattern_id"), "fields_updated": list(data)}

    async def _delete(self, contract: ModelContractEffect) -> dict[str, Any]:
        pattern_id = arguments.pattern_id(contract)

        async def delete(connection: Any) -> Any:
            await connection.execute(statements.statement("learning_lock"), pattern_id)
            return await connection.fetchrow(statements.statement("learning_delete"), pattern_id)

        row = await self._committed(delete)
        if row is None:
            raise unknown_template(pattern_id)
        return {
            "pattern_id": str(row["id"]),
            "pattern_name": row["pattern_name"],
            "deleted": True,
            "deleted_with_it": {name: row[name] for name in ("usage_events", "relationships", "analytics")},
            "unlinked_patterns": row["unlinked_patterns"],
        }

    async def _batch_insert(self, contract: ModelContractEffect) -> dict[str, Any]:
        if not isinstance(contract.patterns, Sequence) or isinstance(contract.patterns, str) or not contract.patterns:
            raise Refusal("No patterns provided: patterns is missing or empty; batch_insert needs a list of templates.")
        rows = [_template(f"patterns[{number}]", given) for number, given in enumerate(contract.patterns)]
        _refuse_duplicates(rows)
        ids = [row.setdefault("id", uuid4()) for row in rows]

        async def store(connection: Any) -> None:
            for ready in _parents_first(rows):
                for statement, columns in _chunks(ready):
                    stored = await connection.fetch(statement, *columns)
                    if len(stored) < len(columns[0]):
                        raise _already_there(rows, set(columns[0]) - {record["id"] for record in stored})

        try:
            await self._committed(store)
        except asyncpg.IntegrityConstraintViolationError as error:
            column, key = violated_key(error)
            at = next((number for number, row in enumerate(rows) if str(row.get(column)) == key), "")
            raise _explained(f"patterns[{at}]", {}, error) from None
        return {"pattern_ids": [str(identity) for identity in ids], "count": len(ids)}

    operations: ClassVar[Mapping[str, Operation]] = {
        "insert": _insert,
        "update": _update,
        "delete": _delete,
        "batch_insert": _batch_insert,
    }


def _template(name: str, given: Any) -> dict[str, Any]:
    found = fields.read_object(name, given, fields.TEMPLATE, drop_nulls=True)
    fields.require(name, found, _REQUIRED)
    return found


def _title(row: Mapping[str, Any]) -> str:
    language = f" in language {row['language']!r}" if row.get("language") else ""
    return f"{row.get('pattern_name')!r} of type {row.get('pattern_type')!r}{language}"


def _explained(name: str, data: Mapping[str, Any], error: asyncpg.IntegrityConstraintViolationError) -> Refusal:
    columns, key = violated_key(error)
    if isinstance(error, asyncpg.UniqueViolationError):
        if columns == "id":
            return Refusal(f"{name}.id: a template with id {key} already exists.")
        if "pattern_name" in data and "pattern_type" in data:
            return Refusal(f"{name}.pattern_name: a template {_title(data)} already exists.")
        return Refusal(f"{name}: a template with ({columns}) = ({key}) already exists.")
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return invalid_reference(f"{name}.{columns}", key)
    if isinstance(error, asyncpg.NotNullViolationError):
        return Refusal(f"{name} lacks {getattr(error, 'column_name', None)}, which this database requires.")
    return Refusal(f"{name} was refused by PostgreSQL: {getattr(error, 'message', error)}.")


def _refuse_duplicates(rows: Sequence[Mapping[str, Any]]) -> None:
    seen: dict[Any, int] = {}
    for number, row in enumerate(rows):
        for key in {(row["pattern_name"], row["pattern_type"], row.get("language")), row.get("id")} - {None}:
            if key in seen:
                raise Refusal(
                    f"patterns[{number}]: {_title(row)} already exists in this batch as patterns[{seen[key]}]."
                )
            seen[key] = number


def _already_there(rows: Sequence[Mapping[str, Any]], missing: set[UUID]) -> Refusal:
    found = [f"patterns[{number}]: {_title(row)}" for number, row in enumerate(rows) if row["id"] in missing]
    more = f"; and {len(found) - _NAMED_DUPLICATES} more" if len(found) > _NAMED_DUPLICATES else ""
    return Refusal(f"Nothing was stored, because it already exists: {'; '.join(found[:_NAMED_DUPLICATES])}{more}.")


def _parents_first(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Group rows so that none refers to one of a later group."""
    own = {row["id"]: row for row in rows}
    referred = {row["id"]: {row.get(name) for name in _REFERENCES} & own.keys() - {row["id"]} for row in rows}
    order = TopologicalSorter(referred)
    try:
        order.prepare()
    except CycleError:
        # Only one statement could store these.
        yield rows
        return
    while order.is_active():
        ready = order.get_ready()
        yield [own[identity] for identity in ready]
        order.done(*ready)


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[list[Any]]]]:
    """Group rows with the same columns: columns that are left out get the database's defaults."""
    groups: dict[frozenset[str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(frozenset(row), []).append(row)
    for group in groups.values():
        columns = tuple(field for name, field in fields.TEMPLATE.items() if name in group[0] and name != "id")
        statement = statements.batch_insert(columns)
        for begin in range(0, len(group), CHUNK_ROWS):
            chunk = group[begin : begin + CHUNK_ROWS]
            yield statement, [[row["id"] for row in chunk]] + [_column(field, chunk) for field in columns]


def _column(field: fields.Field, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    taken = [row[field.name] for row in rows]
    if field.sql_type != "text[]":
        return taken
    return [None if labels is None else statements.array_literal(labels) for labels in taken]
