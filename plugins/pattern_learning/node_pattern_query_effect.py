"""Find templates by id, words, conditions, relationship, rank and type."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pattern_learning import arguments, fields, statements, values
from pattern_learning.arguments import Page
from pattern_learning.contract import ASYNCPG_AVAILABLE, ModelContractEffect, ModelResult
from pattern_learning.effect import Operation, PatternEffect
from pattern_learning.refusals import unknown_template
from pattern_learning.rows import as_row, as_rows
from pattern_learning.similarity import similarity
from pattern_learning.values import Refusal

__all__ = ["ASYNCPG_AVAILABLE", "ModelContractEffect", "ModelResult", "NodePatternQueryEffect"]


class NodePatternQueryEffect(PatternEffect):
    """Reads ``pattern_templates`` and ``pattern_relationships``."""

    name = "query"

    async def _get_by_id(self, contract: ModelContractEffect) -> dict[str, Any]:
        pattern_id = arguments.pattern_id(contract)
        async with self._connection() as connection:
            row = await connection.fetchrow(statements.statement("learning_get"), pattern_id)
        if row is None:
            raise unknown_template(pattern_id)
        return as_row(row)

    async def _search(self, contract: ModelContractEffect) -> list[dict[str, Any]]:
        if contract.search_query is None:
            raise Refusal("search_query is missing; search needs it.")
        query = values.filled_text("search_query", contract.search_query).strip()
        conditions, page = _conditions(contract), arguments.page(contract)
        exact, parameters = statements.filtered("learning_search", conditions, 6)
        words = query.split()
        async with self._connection() as connection:
            # If names fill the page, the texts with the words elsewhere, which are many more, need not be ranked.
            found = await connection.fetch(exact, page.limit, page.offset, query, words, True, *parameters)
            if len(found) == page.limit:
                return _ranked(found, query)
            found = await connection.fetch(exact, page.limit, page.offset, query, words, False, *parameters)
            # Similar words are searched only if no text, on this page or an earlier one, has the words as typed.
            if not found and (
                not page.offset or not await connection.fetch(exact, 1, 0, query, words, False, *parameters)
            ):
                similar, parameters = statements.filtered("learning_search_similar", conditions, 4)
                found = await connection.fetch(similar, page.limit, page.offset, query, *parameters)
        return _ranked(found, query)

    async def _filter(self, contract: ModelContractEffect) -> list[dict[str, Any]]:
        if not contract.filters:
            raise Refusal("filters is missing or empty; filter needs at least one condition.")
        return await self._select("learning_filter", _conditions(contract), arguments.page(contract))

    async def _get_related(self, contract: ModelContractEffect) -> list[dict[str, Any]]:
        pattern_id = arguments.pattern_id(contract)
        found = await self._select("learning_related", _conditions(contract), arguments.page(contract), pattern_id)
        if not found:
            async with self._connection() as connection:
                if await connection.fetchrow(statements.statement("learning_stats"), pattern_id) is None:
                    raise unknown_template(pattern_id)
        return found

    async def _get_top(self, contract: ModelContractEffect) -> list[dict[str, Any]]:
        return await self._select("learning_top", _conditions(contract), arguments.page(contract))

    async def _get_by_type(self, contract: ModelContractEffect) -> list[dict[str, Any]]:
        conditions, page = _conditions(contract), arguments.page(contract)
        fields.require("filters", conditions, ["pattern_type"])
        return await self._select("learning_filter", conditions, page)

    async def _select(
        self, name: str, conditions: Mapping[str, Any], page: Page, *further: Any
    ) -> list[dict[str, Any]]:
        statement, parameters = statements.filtered(name, conditions, 3 + len(further))
        async with self._connection() as connection:
            return as_rows(await connection.fetch(statement, page.limit, page.offset, *further, *parameters))

    operations: ClassVar[Mapping[str, Operation]] = {
        "get_by_id": _get_by_id,
        "search": _search,
        "filter": _filter,
        "get_related": _get_related,
        "get_top": _get_top,
        "get_by_type": _get_by_type,
    }


def _ranked(records: Iterable[Mapping[str, Any]], query: str) -> list[dict[str, Any]]:
    """Return found templates, each with the similarity of its name to the query."""
    return [{**row, "name_similarity": similarity(row["pattern_name"], query)} for row in as_rows(records)]


def _conditions(contract: ModelContractEffect) -> dict[str, Any]:
    return {} if contract.filters is None else fields.read_object("filters", contract.filters, fields.FILTERS)
