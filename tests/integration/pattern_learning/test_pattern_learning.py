"""The nineteen operations on a real database: what they answer and what stands in the tables afterwards."""

import asyncio
import math
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from pattern_learning import ModelContractEffect
from pattern_learning.arguments import Period
from pattern_learning.jobs import compute_period
from tests.support.learning_database import OPERATIONS, Layer, LearningDatabase, template

DAY = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday

FULL = template(
    "AsyncDatabaseWriter",
    category="database",
    template_code="async def write(): ...",
    description="Writes rows in batches",
    example_usage="await write()",
    source="review",
    confidence_score=Decimal("0.85"),
    complexity_score=5,
    maintainability_score=0.9,
    performance_score=0.8,
    created_by="importer",
    tags=["io", 'with "quotes", {braces} \\ and commas', ""],
    context={"nested": [1, None, {"deep": "ü"}]},
    discovered_at="2026-01-02T03:04:05+02:00",
)


def test_every_operation_answers_with_its_metadata(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern, other = await layer.store("a"), await layer.store("b")
        ends = {"source_pattern_id": pattern, "target_pattern_id": other, "relationship_type": "similar"}
        arguments: dict[str, dict[str, Any]] = {
            "insert": {"data": template("c")},
            "update": {"pattern_id": pattern, "data": {"category": "x"}},
            "batch_insert": {"patterns": [template("d")]},
            "search": {"search_query": "a"},
            "filter": {"filters": {"language": "python"}},
            "get_by_type": {"filters": {"pattern_type": "code"}},
            "record_usage": {"pattern_id": pattern, "usage_data": {}},
            "create_relationship": {"relationship_data": ends},
            "update_relationship": {"relationship_data": {**ends, "strength": 1}},
        }
        names = [name for names in OPERATIONS.values() for name in names]
        assert len(names) == 19
        for name in sorted(names, key=lambda name: name == "delete"):
            request = uuid4()
            default = {} if name in ("get_top", "get_global_stats") else {"pattern_id": pattern}
            result = await layer.run(name, correlation_id=request, **arguments.get(name, default))
            assert result.success, result.error
            assert result.error is None
            assert result.metadata["correlation_id"] == str(request)
            assert result.metadata["operation"] == name
            assert result.metadata["duration_ms"] > 0
            if isinstance(result.data, list):
                assert result.metadata["result_count"] == len(result.data)

    learning.use(work)


def test_a_correlation_id_is_made_where_none_is_given() -> None:
    first, second = ModelContractEffect("insert"), ModelContractEffect(operation="insert")
    assert isinstance(first.correlation_id, UUID)
    assert first.correlation_id != second.correlation_id


# --- storage


def test_insert_and_get_by_id(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        stored = await layer.do("insert", data=FULL)
        assert stored == {
            "pattern_id": str(UUID(stored["pattern_id"])),
            "pattern_name": "AsyncDatabaseWriter",
            "discovered_at": "2026-01-02T01:04:05+00:00",
        }
        pattern = UUID(stored["pattern_id"])
        found = await layer.do("get_by_id", pattern_id=pattern)
        assert found.pop("updated_at") <= datetime.now(UTC)
        assert found == {
            **FULL,
            "id": pattern,
            "confidence_score": 0.85,
            "usage_count": 0,
            "success_rate": 0.5,
            "is_deprecated": False,
            "parent_pattern_id": None,
            "deprecated_by_id": None,
            "last_used_at": None,
            "discovered_at": datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC),
        }
        assert await layer.do("get_by_id", pattern_id=f"{{{pattern}}}".upper()) == await layer.do(
            "get_by_id", pattern_id=pattern
        )

    learning.use(work)


def test_null_in_a_column_with_a_default_means_the_default(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        given = template(confidence_score=None, created_by=None, is_deprecated=None, language=None, id=None)
        stored = await layer.do("insert", data=given)
        found = await layer.do("get_by_id", pattern_id=stored["pattern_id"])
        assert (found["confidence_score"], found["created_by"], found["is_deprecated"]) == (0.5, "system", False)
        assert found["language"] is None

    learning.use(work)


def test_update(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern = await layer.store(description="old", tags=["a"])
        before = await layer.do("get_by_id", pattern_id=pattern)
        changes = {"usage_count": 10, "confidence_score": 0.95, "description": None, "tags": [], "context": ["x"]}
        changed = await layer.do("update", pattern_id=pattern, data=changes)
        assert changed["fields_updated"] == list(changes)
        assert (changed["pattern_id"], changed["pattern_name"]) == (pattern, "retry")
        after = await layer.do("get_by_id", pattern_id=pattern)
        assert after == {**before, **changes, "updated_at": datetime.fromisoformat(changed["updated_at"])}
        assert after["updated_at"] > before["updated_at"]

    learning.use(work)


def test_delete_says_what_goes_with_it(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern, other = await layer.store("doomed"), await layer.store("other")
        await layer.store("child", parent_pattern_id=pattern)
        for source, target in ((pattern, other), (other, pattern)):
            ends = {"source_pattern_id": source, "target_pattern_id": target, "relationship_type": "similar"}
            await layer.do("create_relationship", relationship_data=ends)
        for _ in range(3):
            await layer.do("record_usage", pattern_id=pattern, usage_data={})
        await layer.do("record_usage", pattern_id=other, usage_data={})
        await layer.do("compute_analytics", pattern_id=pattern)
        await layer.do("compute_analytics")
        assert await layer.do("delete", pattern_id=pattern) == {
            "pattern_id": pattern,
            "pattern_name": "doomed",
            "deleted": True,
            "deleted_with_it": {"usage_events": 3, "relationships": 2, "analytics": 1},
            "unlinked_patterns": 1,
        }
        assert "not found" in await layer.refused("delete", pattern_id=pattern)

    learning.use(work)
    assert learning.counts() == {
        "pattern_templates": 2,
        "pattern_usage_events": 1,
        "pattern_relationships": 0,
        "pattern_analytics": 1,
        "pattern_template_search": 2,
    }


def test_batch_insert(learning: LearningDatabase) -> None:
    given = [
        {**FULL, "pattern_name": "full"},
        template("short"),
        template("null", language=None, description=None, tags=None),
        template("mine", id=str(uuid.UUID(int=7))),
    ]

    async def work(layer: Layer) -> None:
        stored = await layer.do("batch_insert", patterns=given)
        assert stored["count"] == 4
        assert stored["pattern_ids"][3] == str(uuid.UUID(int=7))
        found = [await layer.do("get_by_id", pattern_id=identity) for identity in stored["pattern_ids"]]
        assert [row["pattern_name"] for row in found] == ["full", "short", "null", "mine"]
        assert (found[0]["tags"], found[0]["context"]) == (FULL["tags"], FULL["context"])
        assert (found[1]["confidence_score"], found[1]["created_by"]) == (0.5, "system")
        assert (found[2]["language"], found[2]["tags"]) == (None, None)
        many = [template(f"many {number}", tags=["bulk"]) for number in range(5000)]
        assert (await layer.do("batch_insert", patterns=many))["count"] == 5000

    learning.use(work)
    assert learning.counts()["pattern_template_search"] == 5004


def test_a_batch_may_name_children_before_their_parents(learning: LearningDatabase) -> None:
    """Rows are sent by the columns that they have, which are others for a parent."""
    first, second, third = (str(uuid4()) for _ in range(3))
    batch = [
        template("grandchild", parent_pattern_id=second, category="x"),
        template("child", id=second, parent_pattern_id=first),
        template("old", id=third, deprecated_by_id=first, is_deprecated=True),
        template("parent", id=first),
        template("its own", id=str(uuid4()), source="y"),
    ]

    async def work(layer: Layer) -> None:
        for patterns in (batch, batch[::-1]):
            stored = await layer.do("batch_insert", patterns=patterns)
            assert stored["pattern_ids"][patterns.index(batch[1])] == second
            assert stored["count"] == len(batch)
            learning.rows("DELETE FROM pattern_templates")
        unknown = [template("a", id=first), template("b", parent_pattern_id=second)]
        assert "patterns[1].parent_pattern_id" in await layer.refused("batch_insert", patterns=unknown)

    learning.use(work)


@pytest.mark.parametrize("place", ["in the batch", "in the table", "in a later chunk"])
def test_a_batch_with_a_duplicate_stores_nothing(learning: LearningDatabase, place: str) -> None:
    async def work(layer: Layer) -> str:
        await layer.store("there", language=None)
        batch = [template(f"new {number}") for number in range(2100 if place == "in a later chunk" else 5)]
        batch.append(template("new 3") if place == "in the batch" else template("there", language=None))
        return await layer.refused("batch_insert", patterns=batch)

    message = learning.use(work)
    assert "already exists" in message
    number = {"in the batch": 5, "in the table": 5, "in a later chunk": 2100}[place]
    assert f"patterns[{number}]" in message
    assert "'new 3'" in message if place == "in the batch" else "'there'" in message
    assert learning.counts()["pattern_templates"] == 1


# --- query


def test_filter(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        await layer.store("a", tags=["x", "y"], confidence_score=0.9, category="net")
        await layer.store("b", tags=["x"], confidence_score=0.7, language=None)
        await layer.store("c", tags=["y"], confidence_score=0.8, success_rate=0.9)
        await layer.store("gone", tags=["x", "y"], is_deprecated=True)

        async def names(limit: int = 10, offset: int = 0, **filters: Any) -> list[str]:
            rows = await layer.do("filter", filters=filters, limit=limit, offset=offset)
            return [row["pattern_name"] for row in rows]

        assert await names(tags=["x"]) == ["a", "b"]
        assert await names(tags="y") == ["a", "c"]
        assert await names(tags=["x", "y"]) == ["a"]
        assert await names(tags=[]) == ["a", "c", "b"]
        assert await names(min_confidence_score=0.8) == ["a", "c"]
        assert await names(min_success_rate=0.6, language="python") == ["c"]
        assert await names(language=None) == ["b"]
        assert await names(category="net", tags=["x"]) == ["a"]
        assert await names(confidence_score=0.7) == ["b"]
        assert await names(pattern_type="code", limit=2) == ["a", "c"]
        assert await names(pattern_type="code", limit=2, offset=2) == ["b"]
        assert await names(pattern_type="code", limit=0) == []
        # Deprecated ones come to those who ask for them.
        assert await names(is_deprecated=True) == ["gone"]
        assert await names(is_deprecated=False, tags=["x"]) == ["a", "b"]

    learning.use(work)


def test_deprecated_templates_leave_the_lists_and_stay_by_id_and_in_analytics(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern, other = await layer.store("retry"), await layer.store("other")
        ends = {"source_pattern_id": other, "target_pattern_id": pattern, "relationship_type": "replaced"}
        await layer.do("create_relationship", relationship_data=ends)
        await layer.do("record_usage", pattern_id=pattern, usage_data={"success": True})

        async def listed() -> list[bool]:
            rows = [
                await layer.do("search", search_query="retry"),
                await layer.do("filter", filters={"pattern_type": "code"}),
                await layer.do("get_top"),
                await layer.do("get_by_type", filters={"pattern_type": "code"}),
                await layer.do("get_related", pattern_id=other),
            ]
            return [any(str(row["id"]) == pattern for row in found) for found in rows]

        assert await listed() == [True] * 5
        await layer.do("update", pattern_id=pattern, data={"is_deprecated": True, "deprecated_by_id": other})
        assert await listed() == [False] * 5
        assert (await layer.do("get_by_id", pattern_id=pattern))["deprecated_by_id"] == UUID(other)
        assert (await layer.do("get_effectiveness", pattern_id=pattern))["total_usage"] == 1
        assert (await layer.do("compute_analytics"))["total_usage_count"] == 1
        totals = await layer.do("get_global_stats")
        assert (totals["total_patterns"], totals["active_patterns"], totals["patterns_used"]) == (2, 1, 1)

    learning.use(work)


def test_top_templates_are_those_of_the_view(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> list[dict[str, Any]]:
        for name, uses in (("often", 3), ("seldom", 1), ("never", 0)):
            pattern = await layer.store(name)
            for number in range(uses):
                usage = {"success": number > 0, "quality_before": 0, "quality_after": 0.5}
                await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        await layer.store("go", language="go")
        assert [row["pattern_name"] for row in await layer.do("get_top", limit=1, offset=1)] == ["seldom"]
        assert [row["pattern_name"] for row in await layer.do("get_top", filters={"language": "go"})] == ["go"]
        return list(await layer.do("get_top"))

    assert learning.use(work) == learning.rows("SELECT * FROM v_top_patterns")


# --- usage


def test_record_usage(learning: LearningDatabase) -> None:
    request, project = uuid4(), uuid4()

    async def work(layer: Layer) -> None:
        pattern = await layer.store()
        usage = {
            "file_path": "/a.py",
            "project_id": str(project),
            "success": False,
            "execution_time_ms": 12.4,
            "error_message": "boom",
            "quality_before": Decimal("0.6"),
            "quality_after": 0.85,
            "context": {"k": 1},
            "tags": ["t"],
            "used_at": datetime(2026, 3, 1, 12),
        }
        event = await layer.do("record_usage", pattern_id=pattern, usage_data=usage, correlation_id=request)
        assert event == {
            "event_id": str(UUID(event["event_id"])),
            "pattern_id": pattern,
            "used_at": "2026-03-01T12:00:00+00:00",
            "quality_improvement": 0.25,
        }
        await layer.do("record_usage", pattern_id=pattern, usage_data={})
        await layer.do("record_usage", pattern_id=pattern, usage_data={"success": None})
        found = await layer.do("get_by_id", pattern_id=pattern)
        assert (found["usage_count"], found["success_rate"]) == (3, 0.5)

    learning.use(work)
    stored = learning.rows("SELECT * FROM pattern_usage_events WHERE error_message = 'boom'")[0]
    assert (stored["correlation_id"], stored["project_id"]) == (request, project)
    assert (stored["success"], stored["execution_time_ms"], stored["context"]) == (False, 12, {"k": 1})
    assert (stored["file_path"], stored["tags"]) == ("/a.py", ["t"])


def test_an_improvement_of_zero_is_zero(learning: LearningDatabase) -> None:
    cases = [(0.5, 0.5, 0.0), (0, 0, 0.0), (0.5, 0, -0.5), (None, 1, None), (1, None, None)]

    async def work(layer: Layer) -> None:
        for before, after, improvement in cases:
            pattern = await layer.store(f"from {before} to {after}")
            usage = {"quality_before": before, "quality_after": after}
            event = await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
            assert event["quality_improvement"] == improvement
            assert (await layer.do("get_effectiveness", pattern_id=pattern))["avg_quality_improvement"] == improvement
            found = await layer.do("compute_analytics", pattern_id=pattern)
            assert found["average_quality_improvement"] == improvement

    learning.use(work)


def test_update_stats_counts_anew(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> dict[str, Any]:
        pattern = await layer.store()
        for success in (True, True, False):
            usage = {"success": success, "used_at": DAY}
            await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        kept = await layer.do("update_stats", pattern_id=pattern)
        await layer.do("update", pattern_id=pattern, data={"usage_count": 99, "success_rate": 0})
        assert await layer.do("update_stats", pattern_id=pattern) == kept
        return dict(kept)

    kept = learning.use(work)
    assert (kept["usage_count"], kept["last_used_at"]) == (3, DAY.isoformat())
    assert kept["success_rate"] == pytest.approx(2 / 3)


# --- relationships


def test_relationships(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern, near, far = await layer.store("a"), await layer.store("near"), await layer.store("far")

        def to(target: str, **given: Any) -> dict[str, Any]:
            ends = {"source_pattern_id": pattern, "target_pattern_id": target, "relationship_type": "similar"}
            return {"relationship_data": {**ends, **given}}

        made = await layer.do("create_relationship", **to(near, strength=0.9, context={"k": 1}))
        assert (made["relationship_type"], made["strength"], made["created"]) == ("similar", 0.9, True)
        assert (made["source_pattern_id"], made["target_pattern_id"]) == (pattern, near)
        assert (await layer.do("create_relationship", **to(far)))["strength"] == 0.5
        # One that exists keeps what is not given.
        again = await layer.do("create_relationship", **to(near, description="close"))
        assert (again["relationship_id"], again["created"]) == (made["relationship_id"], False)
        assert (again["strength"], again["description"]) == (0.9, "close")
        changed = await layer.do("update_relationship", **to(far, strength=1))
        assert (changed["strength"], changed["fields_updated"]) == (1.0, ["strength"])
        by_id = {"relationship_id": made["relationship_id"], "strength": 0}
        assert (await layer.do("update_relationship", relationship_data=by_id))["strength"] == 0.0
        rows = await layer.do("get_related", pattern_id=pattern)
        assert [(row["pattern_name"], row["strength"], row["relationship_description"]) for row in rows] == [
            ("far", 1.0, None),
            ("near", 0.0, "close"),
        ]
        assert [row["id"] for row in rows] == [UUID(far), UUID(near)]
        assert [row["pattern_name"] for row in await layer.do("get_related", pattern_id=pattern, limit=1)] == ["far"]
        assert await layer.do("get_related", pattern_id=far) == []

    learning.use(work)
    assert learning.rows("SELECT context FROM pattern_relationships WHERE description = 'close'") == [
        {"context": {"k": 1}}
    ]


# --- analytics


def test_the_trend_compares_with_the_period_before(learning: LearningDatabase) -> None:
    cases = [
        (0, 0, "stable", 0.0),
        (0, 3, "increasing", 1.0),
        (4, 1, "decreasing", 0.75),
        (2, 2, "stable", 0.0),
        (3, 4, "increasing", 0.25),
    ]

    async def work(layer: Layer) -> None:
        # Each case has a month of its own, so that it is the only one of its period over all templates.
        for month, (before, now, direction, strength) in enumerate(cases, 1):
            start = datetime(2026, month, 2, tzinfo=UTC)
            pattern = await layer.store(f"from {before} to {now}")
            for count, moment in ((before, start - timedelta(hours=1)), (now, start)):
                for _ in range(count):
                    await layer.do("record_usage", pattern_id=pattern, usage_data={"used_at": moment})
            await layer.do("record_usage", pattern_id=pattern, usage_data={"used_at": start - timedelta(days=2)})
            period = {"period_start": start, "period_end": start + timedelta(days=1)}
            for chosen in (pattern, None):
                found = await layer.do("compute_analytics", pattern_id=chosen, **period)
                assert (found["trend_direction"], found["trend_strength"]) == (direction, strength)
                assert found["total_usage_count"] == now

    learning.use(work)


def test_computing_a_period_again_replaces_it(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern = await layer.store()
        period = {"period_start": DAY, "period_end": "2026-03-03"}
        first = await layer.do("compute_analytics", pattern_id=pattern, **period)
        assert (first["total_usage_count"], first["success_rate"], first["average_execution_time_ms"]) == (
            0,
            None,
            None,
        )
        assert (first["average_quality_improvement"], first["top_patterns"]) == (None, [])
        for number in range(4):
            usage = {"used_at": DAY, "success": number > 0, "execution_time_ms": 10 * number}
            await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        second = await layer.do("compute_analytics", pattern_id=pattern, **period)
        assert second["analytics_id"] == first["analytics_id"]
        assert (second["success_count"], second["failure_count"], second["success_rate"]) == (3, 1, 0.75)
        assert second["average_execution_time_ms"] == 15
        assert second["top_patterns"][0]["pattern_id"] == pattern
        assert (second["period_start"], second["period_end"]) == (DAY.isoformat(), "2026-03-03T00:00:00+00:00")

    learning.use(work)
    assert learning.counts()["pattern_analytics"] == 1


def test_trends_by_day_week_and_month_of_utc(learning: LearningDatabase) -> None:
    learning.rows(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Tokyo''', current_database()); END $$"
    )

    async def work(layer: Layer) -> None:
        pattern, other = await layer.store(), await layer.store("other")
        moments = (DAY, DAY + timedelta(hours=23, minutes=59), DAY + timedelta(days=3), DAY + timedelta(days=40))
        for number, moment in enumerate(moments):
            usage = {
                "used_at": moment,
                "success": number != 1,
                "quality_before": 0.5,
                "quality_after": 0.5 + number / 4,
            }
            await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        await layer.do("record_usage", pattern_id=other, usage_data={"used_at": DAY})

        async def trend(what: str, **arguments: Any) -> list[dict[str, Any]]:
            chosen = {"pattern_id": pattern, "period_start": DAY, "period_end": DAY + timedelta(days=5), **arguments}
            return list(await layer.do(what, **chosen))

        days = await trend("get_usage_trends")
        assert [(row["period"], row["usage_count"]) for row in days] == [
            (f"2026-03-0{number}T00:00:00+00:00", uses) for number, uses in ((2, 2), (3, 0), (4, 0), (5, 1), (6, 0))
        ]
        assert (days[0]["success_count"], days[0]["failure_count"], days[0]["success_rate"]) == (1, 1, 0.5)
        assert (days[0]["avg_quality_improvement"], days[0]["avg_execution_time_ms"]) == (0.125, None)
        assert (days[1]["success_rate"], days[1]["avg_quality_improvement"]) == (None, None)
        assert [row["usage_count"] for row in await trend("get_usage_trends", pattern_id=None)] == [3, 0, 0, 1, 0]

        far = DAY + timedelta(days=61)
        weeks = await trend("get_usage_trends", aggregate_by="week", period_end=far)
        assert [row["usage_count"] for row in weeks] == [3, 0, 0, 0, 0, 1, 0, 0, 0]
        assert weeks[5]["period"] == "2026-04-06T00:00:00+00:00"
        months = await trend("get_usage_trends", aggregate_by="month", period_end=far)
        assert [(row["period"][:10], row["usage_count"]) for row in months] == [
            ("2026-03-01", 3),
            ("2026-04-01", 1),
            ("2026-05-01", 0),
        ]

        quality = await trend("get_quality_trends")
        assert [row["avg_quality_improvement"] for row in quality] == [None, 0.5, None, None, 0.125]
        assert (quality[4]["avg_quality_before"], quality[4]["avg_quality_after"]) == (0.5, 0.625)
        assert (quality[4]["usage_date"], quality[4]["pattern_name"]) == (date(2026, 3, 2), "retry")
        assert await trend("get_quality_trends", period_start=None) == quality
        # Over all, a row for each template and period with use.
        of_all = await trend("get_quality_trends", pattern_id=None)
        assert [(row["usage_date"].day, row["id"], row["pattern_type"], row["usage_count"]) for row in of_all] == [
            (5, UUID(pattern), "code", 1),
            (2, UUID(pattern), "code", 2),
            (2, UUID(other), "code", 1),
        ]
        assert [row["avg_quality_improvement"] for row in of_all] == [0.5, 0.125, None]
        months = await trend("get_quality_trends", pattern_id=None, aggregate_by="month")
        assert [(row["period"][:10], row["usage_count"]) for row in months] == [("2026-03-01", 3), ("2026-03-01", 1)]
        # Without a start, the plot begins with the first use.
        assert [row["usage_count"] for row in await trend("get_usage_trends", period_start=None)] == [2, 0, 0, 1, 0]
        assert await trend("get_usage_trends", period_start=None, period_end=DAY) == []

    learning.use(work)


def test_effectiveness_and_totals(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        empty = await layer.do("get_global_stats")
        assert (empty["total_patterns"], empty["total_usage_events"], empty["top_patterns"]) == (0, 0, [])
        assert (empty["avg_confidence"], empty["global_success_rate"], empty["avg_quality_improvement"]) == (None,) * 3
        pattern = await layer.store(confidence_score=0.9)
        await layer.store("unused", confidence_score=0.7)
        nothing = await layer.do("get_effectiveness", pattern_id=pattern)
        assert (nothing["total_usage"], nothing["success_rate"], nothing["first_used"]) == (0, None, None)
        for number in range(4):
            usage = {"success": number < 3, "execution_time_ms": 100, "used_at": DAY + timedelta(days=number)}
            await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        found = await layer.do("get_effectiveness", pattern_id=pattern)
        assert (found["total_usage"], found["successes"], found["failures"]) == (4, 3, 1)
        assert (found["success_rate"], found["avg_execution_time_ms"]) == (0.75, 100)
        assert (found["pattern_id"], found["first_used"]) == (pattern, DAY.isoformat())
        totals = await layer.do("get_global_stats")
        assert (totals["total_patterns"], totals["patterns_used"], totals["total_usage_events"]) == (2, 1, 4)
        assert totals["avg_confidence"] == pytest.approx(0.8)
        assert totals["global_success_rate"] == 0.75
        assert totals["top_patterns"][0]["pattern_name"] == "retry"

    learning.use(work)


@pytest.mark.parametrize("events", [(1e155, 3e155), (1.7e308, 1.7e308), (math.inf, -math.inf), (math.nan, 1e155)])
def test_qualities_that_no_average_holds_are_in_none(learning: LearningDatabase, events: tuple[float, float]) -> None:
    """They are refused by now; a table may have them all the same."""
    period = Period(DAY, DAY + timedelta(days=1))

    async def work(layer: Layer) -> None:
        pattern = await layer.store()
        for event in events:
            learning.rows(
                "INSERT INTO pattern_usage_events (pattern_id, success, quality_before, quality_after, used_at) "
                "VALUES (%s, true, 0, %s, %s)",
                pattern,
                event,
                DAY,
            )
        for after in (-1e100, 1e100, 1e100):
            usage = {"quality_before": 0, "quality_after": after, "used_at": DAY}
            await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        mean = pytest.approx(1e100 / 3)
        chosen = {"period_start": period.start, "period_end": period.end}
        for of in (pattern, None):
            found = await layer.do("compute_analytics", pattern_id=of, **chosen)
            assert (found["total_usage_count"], found["average_quality_improvement"]) == (5, mean)
            assert found["top_patterns"][0]["avg_quality_improvement"] == mean
            (day,) = await layer.do("get_usage_trends", pattern_id=of, **chosen)
            assert (day["usage_count"], day["avg_quality_improvement"]) == (5, mean)
            (day,) = await layer.do("get_quality_trends", pattern_id=of, **chosen)
            assert (day["usage_count"], day["measured_count"]) == (5, 3)
            assert (day["avg_quality_before"], day["avg_quality_after"]) == (0, mean)
            assert day["avg_quality_improvement"] == mean
        assert (await layer.do("get_effectiveness", pattern_id=pattern))["avg_quality_improvement"] == mean
        assert (await layer.do("get_top"))[0]["avg_quality_improvement"] == mean
        assert (await layer.do("get_global_stats"))["avg_quality_improvement"] == mean
        assert (await compute_period(learning.config, period)).total_usage_count == 5
        for view in ("v_top_patterns", "v_pattern_quality_trends"):
            assert learning.rows(f"SELECT * FROM {view}")[0]["avg_quality_improvement"] == mean

    learning.use(work)
    stored = learning.rows("SELECT average_quality_improvement AS mean FROM pattern_analytics")
    assert [row["mean"] for row in stored] == pytest.approx([1e100 / 3] * 2)


def test_the_first_and_the_last_time_are_stored_as_they_are(learning: LearningDatabase) -> None:
    first, last = "0001-01-01T00:00:00.000001+00:00", "9999-12-31T23:59:59.999998+00:00"

    async def work(layer: Layer) -> None:
        pattern = await layer.store(discovered_at=last, last_used_at="0001-01-01T02:00:00.000001+02:00")
        found = await layer.do("get_by_id", pattern_id=pattern)
        assert [found["discovered_at"].isoformat(), found["last_used_at"].isoformat()] == [last, first]
        for moment in (first, last):
            usage = {"used_at": moment}
            assert (await layer.do("record_usage", pattern_id=pattern, usage_data=usage))["used_at"] == moment
        found = await layer.do("get_effectiveness", pattern_id=pattern)
        assert [found["first_used"], found["last_used"]] == [first, last]
        days = await layer.do("get_usage_trends", period_start=first, period_end="0001-01-02")
        assert [(day["period"], day["usage_count"]) for day in days] == [("0001-01-01T00:00:00+00:00", 1)]

    learning.use(work)
    assert learning.rows("SELECT FROM pattern_usage_events WHERE NOT isfinite(used_at)") == []


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "4000-01-01 BC"])
def test_times_that_python_does_not_have_are_null(learning: LearningDatabase, moment: str) -> None:
    async def work(layer: Layer) -> None:
        pattern, other = await layer.store(), await layer.store("other")
        event = (await layer.do("record_usage", pattern_id=pattern, usage_data={}))["event_id"]
        ends = {"source_pattern_id": pattern, "target_pattern_id": other, "relationship_type": "similar"}
        await layer.do("create_relationship", relationship_data=ends)
        learning.rows("UPDATE pattern_usage_events SET used_at = %s", moment)
        learning.rows("UPDATE pattern_templates SET discovered_at = %s", moment)
        learning.rows("UPDATE pattern_relationships SET discovered_at = %s", moment)
        again = await layer.do("record_usage", pattern_id=pattern, usage_data={"event_id": event})
        assert (again["event_id"], again["used_at"]) == (event, None)
        for operation in ("create_relationship", "update_relationship"):
            found = await layer.do(operation, relationship_data={**ends, "strength": 1})
            assert found["discovered_at"] is None
        assert (await layer.do("get_by_id", pattern_id=pattern))["discovered_at"] is None
        assert (await layer.do("get_effectiveness", pattern_id=pattern))["last_used"] is None
        assert (await layer.do("get_top"))[0]["last_used_at"] is None
        assert (await layer.do("update_stats", pattern_id=pattern))["last_used_at"] is None
        for operation in ("compute_analytics", "get_usage_trends", "get_quality_trends", "get_global_stats"):
            await layer.do(operation)

    learning.use(work)


# --- concurrency


def test_fifty_writers_on_one_template(learning: LearningDatabase) -> None:
    """Among them others that rename it, so that locks of both strengths meet."""
    writers, each = 50, 6

    async def work(layer: Layer) -> None:
        pattern = await layer.store("retry")

        async def write(writer: int) -> None:
            for number in range(each):
                usage = {
                    "success": (writer + number) % 3 > 0,
                    "used_at": DAY + timedelta(seconds=writer * each + number),
                }
                await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
                if writer % 10 == 0:
                    await layer.do("update", pattern_id=pattern, data={"pattern_name": f"retry {writer} {number}"})

        await asyncio.gather(*(write(writer) for writer in range(writers)))
        found = await layer.do("get_by_id", pattern_id=pattern)
        stats = (found["usage_count"], found["success_rate"], found["last_used_at"])
        assert stats == (300, pytest.approx(2 / 3), DAY + timedelta(seconds=299))
        counted = await layer.do("update_stats", pattern_id=pattern)
        assert (counted["usage_count"], counted["success_rate"]) == stats[:2]
        assert counted["last_used_at"] == stats[2].isoformat()
        assert (await layer.manager.get_pool_stats())["pool_size"] == 20

    learning.use(work, min_pool_size=20)


def test_writers_and_a_deletion(learning: LearningDatabase) -> None:
    """Either an event goes with its template or it is refused; none is left over."""

    async def work(layer: Layer) -> tuple[int, int]:
        pattern = await layer.store()

        async def write(number: int) -> bool:
            if number == 20:
                return bool((await layer.run("delete", pattern_id=pattern)).success)
            result = await layer.run("record_usage", pattern_id=pattern, usage_data={})
            assert result.success or "not found" in str(result.error), result.error
            return result.success

        done = await asyncio.gather(*(write(number) for number in range(40)))
        return sum(done), len(done)

    learning.use(work, min_pool_size=10)
    assert set(learning.counts().values()) == {0}
