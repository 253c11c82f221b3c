"""A migrated database with the pool, the four nodes and a connection of psycopg beside them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from code_patterns.servers.postgres import PostgresConfig
from pattern_learning import (
    ModelContractEffect,
    ModelResult,
    NodePatternAnalyticsEffect,
    NodePatternQueryEffect,
    NodePatternStorageEffect,
    NodePatternUpdateEffect,
    PatternDatabaseManager,
)
from tests.conftest import config_of
from tests.support.roles import logged_in

NODES = (NodePatternStorageEffect, NodePatternQueryEffect, NodePatternUpdateEffect, NodePatternAnalyticsEffect)
OPERATIONS = {
    "storage": ("insert", "update", "delete", "batch_insert"),
    "query": ("get_by_id", "search", "filter", "get_related", "get_top", "get_by_type"),
    "update": ("record_usage", "update_stats", "create_relationship", "update_relationship"),
    "analytics": (
        "compute_analytics",
        "get_usage_trends",
        "get_quality_trends",
        "get_effectiveness",
        "get_global_stats",
    ),
}
NODE_OF = {operation: node for node, operations in OPERATIONS.items() for operation in operations}


def template(name: str = "retry", **columns: Any) -> dict[str, Any]:
    """Columns of a template."""
    return {"pattern_name": name, "pattern_type": "code", "language": "python", **columns}


@dataclass
class Layer:
    """An open storage layer."""

    manager: PatternDatabaseManager

    def __post_init__(self) -> None:
        self.nodes = {node.name: node(self.manager.pool, acquire_timeout=10) for node in NODES}

    async def run(self, operation: str, *, node: str | None = None, **arguments: Any) -> ModelResult:
        """Carry out an operation on the node that has it."""
        contract = ModelContractEffect(operation=operation, **arguments)
        return await self.nodes[node or NODE_OF[operation]].execute_effect(contract)

    async def do(self, operation: str, **arguments: Any) -> Any:
        """Carry out an operation that must succeed, and return its data."""
        result = await self.run(operation, **arguments)
        assert result.success, result.error
        return result.data

    async def store(self, name: str = "retry", **columns: Any) -> str:
        """Store a template and return its id."""
        return str((await self.do("insert", data=template(name, **columns)))["pattern_id"])

    async def refused(self, operation: str, **arguments: Any) -> str:
        """Carry out an operation that must fail, and return the reason."""
        result = await self.run(operation, **arguments)
        assert (result.success, result.data) == (False, None)
        assert result.error
        assert "\n" not in result.error
        return result.error


@dataclass
class LearningDatabase:
    """A database and ways to use it.

    :param dsn: of its administrator, who looks at it beside the layer
    :param role: who the layer logs in as; ``None`` for whom the DSN names
    """

    dsn: str
    role: str | None = None

    @property
    def config(self) -> PostgresConfig:
        """The database as the layer logs in to it."""
        config = config_of(self.dsn)
        return logged_in(config, self.role) if self.role else config

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[Layer]:
        """Open a pool, of one connection at first."""
        manager = PatternDatabaseManager(config=self.config, **{"min_pool_size": 1, **settings})
        await manager.initialize()
        try:
            yield Layer(manager)
        finally:
            await manager.close()

    def use(self, work: Callable[[Layer], Awaitable[Any]], **settings: Any) -> Any:
        """Open a pool, work with it, and close it."""

        async def main() -> Any:
            async with self.open(**settings) as layer:
                return await work(layer)

        return asyncio.run(main())

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run a statement beside the layer."""
        with psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def counts(self) -> dict[str, int]:
        """Rows of every table of the layer."""
        tables = (
            "pattern_templates",
            "pattern_usage_events",
            "pattern_relationships",
            "pattern_analytics",
            "pattern_template_search",
        )
        return {table: self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables}
