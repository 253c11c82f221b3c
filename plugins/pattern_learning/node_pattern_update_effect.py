"""Write usage events, statistics and relationships of templates."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import uuid4

import asyncpg

from pattern_learning import arguments, fields, statements, values
from pattern_learning.contract import ASYNCPG_AVAILABLE, ModelContractEffect, ModelResult
from pattern_learning.effect import Operation, PatternEffect
from pattern_learning.refusals import invalid_reference, unknown_template, violated_key
from pattern_learning.rows import as_text
from pattern_learning.values import Refusal

__all__ = ["ASYNCPG_AVAILABLE", "ModelContractEffect", "ModelResult", "NodePatternUpdateEffect"]

_ENDS = ("source_pattern_id", "target_pattern_id", "relationship_type")
_CHANGEABLE = ("strength", "description", "context")


class NodePatternUpdateEffect(PatternEffect):
    """Writes ``pattern_usage_events`` and ``pattern_relationships``; triggers update the templates' counters."""

    name = "update"

    async def _record_usage(self, contract: ModelContractEffect) -> dict[str, Any]:
        pattern_id = arguments.pattern_id(contract)
        usage = fields.read_object("usage_data", contract.usage_data, fields.USAGE, drop_nulls=True)
        # Made here, not by the database: an event that is sent again has the same id.
        event_id, success = usage.pop("event_id", None) or uuid4(), usage.pop("success", True)
        statement = statements.insert("learning_record_usage", tuple(fields.USAGE[name] for name in usage), 5)
        request = values.identity("correlation_id", contract.correlation_id)
        try:
            row = await self._fetch_repeatably(statement, event_id, pattern_id, request, success, *usage.values())
        except asyncpg.ForeignKeyViolationError:
            raise invalid_reference("pattern_id", pattern_id) from None
        except asyncpg.NotNullViolationError as error:
            raise Refusal(f"usage_data lacks {error.column_name}, which this database requires.") from None
        if row is None:
            raise Refusal(f"usage_data.event_id is {event_id}, but this event of another template already exists.")
        return as_text(row, id="event_id")

    async def _fetch_repeatably(self, statement: str, *parameters: Any) -> Any:
        """Run a statement that changes nothing more when it is sent again."""

        async def fetch(_: bool) -> Any:
            async with self._connection() as connection:
                return await connection.fetchrow(statement, *parameters)

        return await self._until_answered(fetch)

    async def _update_stats(self, contract: ModelContractEffect) -> dict[str, Any]:
        pattern_id = arguments.pattern_id(contract)

        async def count(_: bool) -> Any:
            async with self._transaction() as connection:
                await connection.execute(statements.statement("learning_update_stats"), pattern_id)
                return await connection.fetchrow(statements.statement("learning_stats"), pattern_id)

        row = await self._until_answered(count)
        if row is None:
            raise unknown_template(pattern_id)
        return as_text(row, id="pattern_id")

    async def _create_relationship(self, contract: ModelContractEffect) -> dict[str, Any]:
        given = _relationship(contract)
        if "relationship_id" in given:
            raise Refusal("relationship_data.relationship_id: the database gives a new relationship its id.")
        fields.require("relationship_data", given, _ENDS)
        if given["source_pattern_id"] == given["target_pattern_id"]:
            raise Refusal("relationship_data.target_pattern_id is source_pattern_id: a template has none with itself.")
        parameters = [given.get(name) for name in (*_ENDS, *_CHANGEABLE)]
        create = statements.statement("learning_create_relationship")
        try:
            row = await self._fetch_repeatably(create, *parameters, uuid4())
        except asyncpg.ForeignKeyViolationError as error:
            column, key = violated_key(error)
            raise invalid_reference(f"relationship_data.{column}", key) from None
        return as_text(row, id="relationship_id")

    async def _update_relationship(self, contract: ModelContractEffect) -> dict[str, Any]:
        given = _relationship(contract)
        if given.get("relationship_id") is None:
            fields.require("relationship_data", given, _ENDS)
        changed = [name for name in given if name in _CHANGEABLE and given[name] is not None]
        if not changed:
            raise Refusal(
                f"No updates: relationship_data changes nothing; give {', '.join(_CHANGEABLE)}, or some of them."
            )
        parameters = [given.get(name) for name in ("relationship_id", *_ENDS, *_CHANGEABLE)]
        row = await self._fetch_repeatably(statements.statement("learning_update_relationship"), *parameters)
        if row is None:
            named = ", ".join(f"{name} {given[name]}" for name in ("relationship_id", *_ENDS) if given.get(name))
            raise Refusal(f"relationship_data names no relationship: one with {named} was not found.")
        return {**as_text(row, id="relationship_id"), "fields_updated": changed}

    operations: ClassVar[Mapping[str, Operation]] = {
        "record_usage": _record_usage,
        "update_stats": _update_stats,
        "create_relationship": _create_relationship,
        "update_relationship": _update_relationship,
    }


def _relationship(contract: ModelContractEffect) -> dict[str, Any]:
    if contract.relationship_data is None:
        raise Refusal(f"relationship_data is missing; {contract.operation} needs it.")
    return fields.read_object("relationship_data", contract.relationship_data, fields.RELATIONSHIP)
