"""A script as deployed ones are: it knows the published names, and only the environment says where the database is.

It is run as a process of its own and prints what it does; a line that is not true ends it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from pattern_learning import (
    ModelContractEffect,
    ModelResult,
    NodePatternAnalyticsEffect,
    NodePatternQueryEffect,
    NodePatternStorageEffect,
    NodePatternUpdateEffect,
    PatternDatabaseManager,
    close_pattern_db_manager,
    get_pattern_db_manager,
    node_pattern_analytics_effect,
    node_pattern_query_effect,
    node_pattern_storage_effect,
    node_pattern_update_effect,
)
from pattern_learning.track2_integration import PatternStorageTracer, get_pattern_tracer, trace_operation

MODULES = (
    node_pattern_storage_effect,
    node_pattern_query_effect,
    node_pattern_update_effect,
    node_pattern_analytics_effect,
)
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


class Nodes:
    """The four nodes on one pool."""

    def __init__(self, pool):
        nodes = (
            NodePatternStorageEffect(pool),
            NodePatternQueryEffect(pool),
            NodePatternUpdateEffect(pool),
            NodePatternAnalyticsEffect(pool),
        )
        self.storage, self.query, self.update, self.analytics = nodes

    async def done(self, node, operation, **arguments):
        request = uuid4()
        contract = ModelContractEffect(operation=operation, correlation_id=request, **arguments)
        result = await node.execute_effect(contract)
        assert isinstance(result, ModelResult)
        assert result.success, (operation, result.error)
        assert result.error is None
        assert result.metadata["correlation_id"] == str(request)
        assert result.metadata["operation"] == operation
        assert result.metadata["duration_ms"] > 0
        as_dict = result.to_dict()
        assert as_dict == {"success": True, "data": result.data, "error": None, "metadata": result.metadata}
        print(f"{operation}: {len(result.data) if isinstance(result.data, list) else sorted(result.data)}")
        return result.data

    async def failed(self, words, node, operation, **arguments):
        result = await node.execute_effect(ModelContractEffect(operation=operation, **arguments))
        assert not result.success
        assert result.metadata["correlation_id"]
        assert any(word in result.error.lower() for word in words.split("|")), (operation, result.error)
        print(f"{operation} fails with the words '{words}': {result.error}")


async def store_and_find(nodes):
    """Every operation of the storage and the query node."""
    data = {
        "pattern_name": "AsyncDatabaseWriterPattern",
        "pattern_type": "code",
        "language": "python",
        "template_code": "async def execute_effect(self, contract): ...",
        "description": "Writes rows into the database",
        "confidence_score": 0.92,
        "complexity_score": 5,
        "tags": ["onex", "effect", "database"],
        "context": {"framework": "onex"},
    }
    inserted = await nodes.done(nodes.storage, "insert", data=data)
    assert set(inserted) >= {"pattern_id", "pattern_name", "discovered_at"}
    pattern = UUID(inserted["pattern_id"])
    changes = {"confidence_score": 0.95, "category": "io"}
    updated = await nodes.done(nodes.storage, "update", pattern_id=pattern, data=changes)
    assert updated["fields_updated"] == ["confidence_score", "category"]
    assert updated["updated_at"]
    batch = [{**data, "pattern_name": f"Batch{number}", "parent_pattern_id": pattern} for number in range(3)]
    stored = await nodes.done(nodes.storage, "batch_insert", patterns=batch)
    assert stored["count"] == len(stored["pattern_ids"]) == 3
    deleted = await nodes.done(nodes.storage, "delete", pattern_id=UUID(stored["pattern_ids"][2]))
    assert deleted["deleted"] is True

    found = await nodes.done(nodes.query, "get_by_id", pattern_id=pattern)
    assert found["id"] == pattern
    assert found["context"] == {"framework": "onex"}
    hits = await nodes.done(
        nodes.query, "search", search_query="database", filters={"language": "python", "min_confidence_score": 0.8}
    )
    assert hits[0]["pattern_name"] == "AsyncDatabaseWriterPattern"
    assert all(0 <= hit["name_similarity"] <= 1 for hit in hits)
    [exact] = await nodes.done(nodes.query, "search", search_query="AsyncDatabaseWriterPattern")
    assert exact["name_similarity"] == 1
    conditions = {"tags": ["onex"], "min_confidence_score": 0.9, "min_success_rate": 0.1, "category": "io"}
    assert [row["id"] for row in await nodes.done(nodes.query, "filter", filters=conditions)] == [pattern]
    assert await nodes.done(nodes.query, "get_top", limit=2)
    assert len(await nodes.done(nodes.query, "get_by_type", filters={"pattern_type": "code"})) == 3
    return pattern, UUID(stored["pattern_ids"][0])


async def use(nodes, pattern, other):
    """Every operation of the update and the analytics node."""
    for number in range(4):
        usage = {
            "file_path": "/project/api/database.py",
            "project_id": uuid4(),
            "success": number != 3,
            "execution_time_ms": 125,
            "quality_before": 0.65,
            "quality_after": 0.88,
            "tags": ["production"],
            "used_at": NOW - timedelta(days=number // 2),
        }
        used = pattern if number < 3 else other
        event = await nodes.done(nodes.update, "record_usage", pattern_id=used, usage_data=usage)
        assert round(event["quality_improvement"], 2) == 0.23
        assert set(event) >= {"event_id", "pattern_id", "used_at"}
    assert (await nodes.done(nodes.update, "update_stats", pattern_id=pattern))["usage_count"] == 3
    ends = {"source_pattern_id": pattern, "target_pattern_id": other, "relationship_type": "similar"}
    for strength in (0.5, 0.7):
        data = {**ends, "strength": strength}
        related = await nodes.done(nodes.update, "create_relationship", relationship_data=data)
        assert (related["relationship_type"], related["strength"]) == ("similar", strength)
    changed = await nodes.done(nodes.update, "update_relationship", relationship_data={**ends, "strength": 0.9})
    assert changed["relationship_id"] == related["relationship_id"]
    assert [row["id"] for row in await nodes.done(nodes.query, "get_related", pattern_id=pattern)] == [other]

    # Deployed scripts give times without a zone.
    until = NOW.replace(tzinfo=None) + timedelta(hours=12)
    period = {"period_start": until - timedelta(days=30), "period_end": until}
    computed = await nodes.done(nodes.analytics, "compute_analytics", pattern_id=pattern, **period)
    assert computed["total_usage_count"] == computed["success_count"] == 3
    assert set(computed) >= {"analytics_id", "success_rate", "top_patterns", "trend_direction", "trend_strength"}
    for span in ("day", "week", "month"):
        usage = await nodes.done(
            nodes.analytics, "get_usage_trends", pattern_id=pattern, aggregate_by=span, period_end=until
        )
        assert sum(row["usage_count"] for row in usage) == 3
    quality = await nodes.done(nodes.analytics, "get_quality_trends", period_end=until)
    assert [(row["id"], row["usage_date"], row["usage_count"]) for row in quality] == [
        (pattern, NOW.date(), 2),
        (pattern, NOW.date() - timedelta(days=1), 1),
        (other, NOW.date() - timedelta(days=1), 1),
    ]
    assert (quality[2]["pattern_name"], quality[2]["pattern_type"]) == ("Batch0", "code")
    of_one = await nodes.done(nodes.analytics, "get_quality_trends", pattern_id=pattern, period_end=until)
    assert of_one[0]["usage_date"] == NOW.date()
    assert (await nodes.done(nodes.analytics, "get_effectiveness", pattern_id=pattern))["total_usage"] == 3
    assert (await nodes.done(nodes.analytics, "get_global_stats"))["total_usage_events"] == 4


async def fail(nodes, pattern):
    """The words that callers look for."""
    nobody = uuid4()
    again = {"pattern_name": "AsyncDatabaseWriterPattern", "pattern_type": "code", "language": "python"}
    orphan = {**again, "pattern_name": "Orphan", "parent_pattern_id": nobody}
    storage, query, update, analytics = nodes.storage, nodes.query, nodes.update, nodes.analytics
    await nodes.failed("already exists", storage, "insert", data=again)
    await nodes.failed("not found", storage, "update", pattern_id=nobody, data={"category": "x"})
    await nodes.failed("not found", storage, "delete", pattern_id=nobody)
    await nodes.failed("not found", query, "get_by_id", pattern_id=nobody)
    ends = {"source_pattern_id": pattern, "target_pattern_id": pattern, "relationship_type": "extends"}
    await nodes.failed("not found", update, "update_relationship", relationship_data={**ends, "strength": 1})
    for node, operation in (
        (storage, "update"),
        (storage, "delete"),
        (query, "get_by_id"),
        (query, "get_related"),
        (update, "record_usage"),
        (update, "update_stats"),
        (analytics, "get_effectiveness"),
    ):
        await nodes.failed("pattern_id required", node, operation)
    await nodes.failed("no updates", storage, "update", pattern_id=pattern)
    await nodes.failed("no updates", storage, "update", pattern_id=pattern, data={})
    await nodes.failed("no patterns provided", storage, "batch_insert", patterns=[])
    for node in (storage, query, update, analytics):
        await nodes.failed("unsupported operation", node, "fly")
    await nodes.failed("foreign key|invalid reference", storage, "insert", data=orphan)
    await nodes.failed("foreign key|invalid reference", storage, "batch_insert", patterns=[orphan])
    await nodes.failed("foreign key|invalid reference", update, "record_usage", pattern_id=nobody, usage_data={})


async def trace(pattern):
    """The tracer by its methods, as a function and as a decorator."""
    tracer = PatternStorageTracer()
    request = uuid4()
    assert await tracer.initialize() is True
    assert tracer.enabled
    assert await tracer.trace_pattern_operation(
        operation="insert",
        pattern_id=pattern,
        correlation_id=request,
        success=False,
        duration_ms=15.3,
        metadata={"pattern_name": "x", "error": "no room"},
    )
    assert await tracer.trace_pattern_usage(
        pattern_id=pattern,
        file_path="/project/api/database.py",
        correlation_id=request,
        quality_before=0.6,
        quality_after=0.9,
        success=True,
        execution_time_ms=125,
    )
    assert await tracer.trace_analytics_computation(
        period_start=NOW - timedelta(days=30),
        period_end=NOW,
        pattern_id=None,
        correlation_id=request,
        result_count=3,
        computation_time_ms=45.0,
    )
    await trace_operation(
        operation="review", pattern_id=pattern, correlation_id=request, success=True, duration_ms=2.5, metadata={}
    )

    @trace_operation("import")
    async def read(contract):
        return ModelResult(False, error="nothing to read")

    await read(ModelContractEffect("import", pattern_id=pattern, correlation_id=request))
    tracer.enabled = False
    assert await tracer.trace_pattern_operation("insert", pattern, request, True, 1.0) is None
    print("traced:", request)
    return request


async def main():
    """Run all of it."""
    assert all(module.ASYNCPG_AVAILABLE is True for module in MODULES)
    assert all({"ModelContractEffect", "ModelResult"} <= vars(module).keys() for module in MODULES)
    manager = await get_pattern_db_manager()
    assert isinstance(manager, PatternDatabaseManager)
    assert await get_pattern_db_manager() is manager
    assert await manager.health_check() is True
    assert await manager.initialize_schema()
    async with manager.acquire() as connection:
        print("database:", await connection.fetchval("SELECT current_database()"))
    assert (await manager.get_pool_stats())["pool_size"] >= 1
    nodes = Nodes(manager.pool)
    pattern, other = await store_and_find(nodes)
    await use(nodes, pattern, other)
    await fail(nodes, pattern)
    request = await trace(pattern)
    tracer = await get_pattern_tracer()
    await nodes.done(nodes.query, "get_by_id", pattern_id=pattern)
    await tracer.flush()
    async with manager.acquire() as connection:
        rows = await connection.fetch(
            "SELECT operation, success, error, quality_after FROM pattern_learning_traces "
            "WHERE correlation_id = $1 ORDER BY id",
            str(request),
        )
    assert [tuple(row) for row in rows] == [
        ("insert", False, "no room", None),
        ("pattern_usage", True, None, 0.9),
        ("analytics_computation", True, None, None),
        ("review", True, None, None),
        ("import", False, "nothing to read", None),
    ]
    await close_pattern_db_manager()
    assert await manager.health_check() is False
    # A tracer also works where nobody opened a pool.
    assert await PatternStorageTracer().trace_pattern_operation("alone", None, uuid4(), True, 1.0)
    own = PatternDatabaseManager(min_pool_size=1, max_pool_size=2)
    assert await own.initialize() is True
    await own.close()
    print("done")


if __name__ == "__main__":
    asyncio.run(main())
