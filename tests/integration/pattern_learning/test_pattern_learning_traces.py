"""Traces: one row per operation, a span where OpenTelemetry is configured, and never a price for the operation."""

import asyncio
import logging
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import psycopg
import pytest
from opentelemetry import trace as telemetry
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg.conninfo import make_conninfo

from code_patterns.migrations.runner import apply
from pattern_learning import ModelContractEffect, NodePatternQueryEffect, trace_writer, track2_integration
from pattern_learning.trace_writer import Trace
from pattern_learning.track2_integration import get_pattern_tracer
from tests.conftest import config_of
from tests.support.learning_database import Layer, LearningDatabase, template


@pytest.fixture(autouse=True)
def no_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins as a process does: without a tracer."""
    monkeypatch.setattr(track2_integration, "_tracer", None)


def traces(learning: LearningDatabase) -> list[dict[str, Any]]:
    return learning.rows("SELECT * FROM pattern_learning_traces ORDER BY id")


def test_every_operation_leaves_one_trace(learning: LearningDatabase) -> None:
    request = uuid4()

    async def work(layer: Layer) -> str:
        await layer.store("untraced")
        tracer = await get_pattern_tracer()
        assert await get_pattern_tracer("dag.task") is tracer
        pattern = await layer.store("traced")
        usage = {"quality_before": 0, "quality_after": 0.5}
        await layer.do("record_usage", pattern_id=pattern, usage_data=usage, correlation_id=request)
        await layer.refused("delete", pattern_id=uuid4())
        await layer.refused("update", pattern_id="zzz", data={"category": "x"})
        await layer.refused("search")
        await layer.run("fly", node="storage")
        await layer.do("get_global_stats")
        ends = {"source_pattern_id": pattern, "target_pattern_id": pattern, "relationship_type": "x"}
        await layer.refused("create_relationship", relationship_data=ends)
        tracer.enabled = False
        await layer.store("untraced too")
        tracer.enabled = True
        tracer.actor = None
        await layer.do("delete", pattern_id=pattern)
        await tracer.flush()
        return pattern

    pattern = UUID(learning.use(work))
    found = traces(learning)
    assert [(row["node"], row["operation"], row["success"]) for row in found] == [
        ("storage", "insert", True),
        ("update", "record_usage", True),
        ("storage", "delete", False),
        ("storage", "update", False),
        ("query", "search", False),
        ("storage", "fly", False),
        ("analytics", "get_global_stats", True),
        ("update", "create_relationship", False),
        ("storage", "delete", True),
    ]
    assert [row["pattern_id"] == pattern for row in found] == [True, True, *[False] * 6, True]
    assert found[3]["pattern_id"] is None
    usage = found[1]
    assert (usage["correlation_id"], usage["error"]) == (str(request), None)
    assert (usage["quality_before"], usage["quality_after"]) == (0, 0.5)
    assert "not found" in found[2]["error"]
    assert all(row["duration_ms"] > 0 for row in found)
    assert {row["actor"] for row in found[:-1]} == {"dag.task"}
    # Without a name of its own, the tracer leaves it to the database to say who it was.
    assert found[-1]["actor"] == "patterns_sync"


def test_a_caller_gets_the_id_by_which_its_trace_is_found(learning: LearningDatabase) -> None:
    request = uuid4()

    async def work(_: Layer) -> list[Any]:
        tracer = await get_pattern_tracer()
        given = (request, str(request), "job-7", "x" * 600, None)
        return [await tracer.trace_pattern_operation("import", None, each, True, 1.0) for each in given]

    assert learning.use(work) == [request, request, "job-7", "x" * 500, "None"]
    assert [row["correlation_id"] for row in traces(learning)] == [str(request)] * 2 + ["job-7", "x" * 500, "None"]


def test_traces_are_written_without_being_asked_to(learning: LearningDatabase) -> None:
    """While the layer is in use, and what is left when it is closed or when the event loop just ends."""

    async def work(layer: Layer) -> None:
        await get_pattern_tracer()
        await layer.store("a")
        while not traces(learning):
            await asyncio.sleep(0.02)
        await layer.store("b")

    learning.use(work)
    assert len(traces(learning)) == 2

    async def forgotten() -> None:
        opened = learning.open()
        layer = await opened.__aenter__()
        await layer.store("c")

    asyncio.run(forgotten())
    assert len(traces(learning)) == 3


def test_many_at_once(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        await get_pattern_tracer()
        results = await asyncio.gather(*(layer.run("insert", data=template(f"t{number}")) for number in range(1500)))
        assert all(result.success for result in results)

    learning.use(work, max_pool_size=4)
    assert len({row["correlation_id"] for row in traces(learning)}) == 1500


def test_any_asyncpg_pool_is_traced(learning: LearningDatabase) -> None:
    config = config_of(learning.dsn)

    async def main() -> None:
        tracer = await get_pattern_tracer()
        parts = {"host": config.host, "port": config.port, "user": config.user, "password": config.password}
        pool = await asyncpg.create_pool(database=config.database, min_size=1, max_size=1, **parts)
        assert (await NodePatternQueryEffect(pool).execute_effect(ModelContractEffect("get_top"))).success
        await tracer.flush()
        await pool.close()

    asyncio.run(main())
    assert [row["operation"] for row in traces(learning)] == ["get_top"]


def test_a_missing_trace_table_costs_only_the_traces(
    learning: LearningDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    learning.rows("DROP TABLE pattern_learning_traces")

    async def work(layer: Layer) -> None:
        tracer = await get_pattern_tracer()
        for number in range(3):
            await layer.store(f"t{number}")
            await tracer.flush()

    with caplog.at_level(logging.WARNING, "pattern_learning"):
        learning.use(work)
    assert learning.counts()["pattern_templates"] == 3
    assert caplog.text.count("run schema_migration") == 1


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("own_pool", [True, False])
def test_a_cancelled_write_is_made_once(
    learning: LearningDatabase, monkeypatch: pytest.MonkeyPatch, copied: bool, own_pool: bool
) -> None:
    """Whoever waits for the traces may be cancelled before PostgreSQL's answer is there, and before the statement."""
    copy, cancelled = trace_writer._copy, 0

    async def cancelled_copy(*arguments: Any) -> None:
        nonlocal cancelled
        cancelled += 1
        if copied:
            await copy(*arguments)
        if cancelled == 1:
            task = asyncio.current_task()
            assert task
            task.cancel()
            await asyncio.sleep(0)
        if not copied:
            await copy(*arguments)

    async def work(layer: Layer) -> None:
        if own_pool:
            await trace_writer.detach(layer.manager.pool)
        tracer = await get_pattern_tracer("one")
        for _ in range(3):
            await layer.do("get_global_stats")
        monkeypatch.setattr(trace_writer, "_copy", cancelled_copy)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(tracer.flush())
        await layer.do("get_global_stats")
        tracer.actor = "two"
        await layer.do("get_global_stats")
        await tracer.flush()

    learning.use(work)
    found = traces(learning)
    assert [row["actor"] for row in found] == ["one"] * 4 + ["two"]
    assert len({row["correlation_id"] for row in found}) == 5


class Unspeakable:
    """An object without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def in_no_index() -> str:
    """A text that is too long for an entry of an index, also compressed."""
    letters = random.Random(1)
    return "".join(chr(letters.randrange(0x10000, 0x11000)) for _ in range(2000))


@pytest.mark.parametrize(
    ("bad", "stored"),
    [
        ({"operation": "fl\0y"}, {"operation": "fl?y", "error": ...}),
        ({"operation": "fl\ud800y"}, {"operation": "fl?y", "error": ...}),
        ({"operation": Unspeakable()}, {"operation": "<Unspeakable>"}),
        ({"correlation_id": "a\0b"}, {"correlation_id": "a?b"}),
        ({"correlation_id": "\ud800"}, {"correlation_id": "?"}),
        ({"correlation_id": in_no_index()}, {"correlation_id": in_no_index()[:500]}),
        ({"error": "bad \0 byte \udfff"}, {"error": "bad ? byte ?"}),
        ({"error": "x" * 3000}, {"error": "x" * 2000}),
        ({"pattern_id": Unspeakable()}, {"pattern_id": None}),
        ({"quality_before": 10**5000}, {"quality_before": None}),
        ({"actor": "wh\0\ud800"}, {"actor": "wh??"}),
        ({"actor": 7}, {"actor": "7"}),
    ],
)
def test_what_no_table_holds_costs_no_trace(
    learning: LearningDatabase, bad: dict[str, Any], stored: dict[str, Any]
) -> None:
    def trace(correlation_id: Any = "good", error: Any = None, **columns: Any) -> Trace:
        usual = {"node": "caller", "operation": "work", "pattern_id": None, "success": not error, "duration_ms": 1.0}
        further = {"quality_before": None, "quality_after": None, **columns}
        return Trace(datetime.now(UTC), correlation_id=correlation_id, error=error, **{**usual, **further})

    async def work(layer: Layer) -> None:
        tracer = await get_pattern_tracer()
        tracer.actor = bad.get("actor")
        for given in ({}, {name: value for name, value in bad.items() if name != "actor"}, {}):
            tracer.record(layer.manager.pool, trace(**given))
        await tracer.flush()

    learning.use(work)
    found = traces(learning)
    assert len(found) == 3
    assert {name: found[1][name] for name in stored if stored[name] is not ...} == {
        name: value for name, value in stored.items() if value is not ...
    }


def test_a_trace_that_the_database_refuses_costs_no_other(
    learning: LearningDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """A database of another encoding than UTF-8 lacks most characters."""
    with psycopg.connect(learning.dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE patterns_latin1 ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
        try:
            latin1 = LearningDatabase(make_conninfo(learning.dsn, dbname="patterns_latin1"))
            apply(latin1.config, "up", None, "tests")

            async def work(layer: Layer) -> Any:
                tracer = await get_pattern_tracer()
                for number in range(20):
                    await layer.refused("get_top", filters={"language": "x"}, limit="\u4e2d" if number == 13 else -1)
                await tracer.flush()
                return await tracer.trace_pattern_operation("import", None, uuid4(), False, 1.0, {"error": "\u4e2d"})

            with caplog.at_level(logging.WARNING, "pattern_learning"):
                assert latin1.use(work) is None
            assert len(traces(latin1)) == 19
        finally:
            admin.execute("DROP DATABASE IF EXISTS patterns_latin1 WITH (FORCE)")
    assert "1 traces were not written: character with byte sequence" in caplog.text
    assert "schema_migration" not in caplog.text


def test_a_trace_table_that_does_not_answer_holds_nothing_up(
    learning: LearningDatabase, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_writer, "WRITE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(trace_writer, "QUEUE_LENGTH", 50)

    async def work(layer: Layer) -> None:
        tracer = await get_pattern_tracer()
        with psycopg.connect(learning.dsn) as other:
            other.execute("LOCK TABLE pattern_learning_traces IN ACCESS EXCLUSIVE MODE")
            # One connection in the pool: were traces written on it, the second operation would wait.
            for number in range(100):
                await layer.store(f"t{number}")
            with caplog.at_level(logging.WARNING, "pattern_learning"):
                await tracer.flush()
        assert "traces were not written" in caplog.text
        assert "schema_migration" not in caplog.text
        await layer.store("after")

    learning.use(work, max_pool_size=1, acquire_timeout=0.2)
    assert learning.counts()["pattern_templates"] == 101
    assert [row["success"] for row in traces(learning)][-1:] == [True]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """OpenTelemetry as an application configures it; its API has no way to take that back."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def test_operations_are_spans_where_opentelemetry_is_configured(
    learning: LearningDatabase, spans: InMemorySpanExporter
) -> None:
    async def work(layer: Layer) -> UUID:
        await layer.store("untraced")
        await get_pattern_tracer("me")
        with telemetry.get_tracer("test").start_as_current_span("outer"):
            pattern = await layer.store("traced")
        await layer.refused("get_by_id", pattern_id=uuid4())
        return UUID(pattern)

    pattern = learning.use(work)
    insert, outer, failed = spans.get_finished_spans()
    assert (insert.name, failed.name) == ("pattern_learning.insert", "pattern_learning.get_by_id")
    assert insert.parent is not None
    assert insert.parent.span_id == outer.context.span_id
    assert insert.attributes is not None
    assert insert.attributes["pattern_learning.pattern_id"] == str(pattern)
    assert insert.attributes["pattern_learning.actor"] == "me"
    assert insert.attributes["pattern_learning.correlation_id"] == traces(learning)[0]["correlation_id"]
    assert insert.start_time is not None
    assert insert.end_time is not None
    assert 0 < (insert.end_time - insert.start_time) / 1e6 == pytest.approx(traces(learning)[0]["duration_ms"], rel=0.1)
    assert failed.status.status_code is telemetry.StatusCode.ERROR
    assert "not found" in str(failed.status.description)


def test_a_span_is_utf_8(learning: LearningDatabase, spans: InMemorySpanExporter) -> None:
    async def work(layer: Layer) -> None:
        tracer = await get_pattern_tracer("wh\ud800")
        further = {"error": "bad \ud800", "\udfff": "\ud800" + 3000 * "x"}
        await tracer.trace_pattern_operation("im\ud800port", None, "\ud800", False, 1.0, further)

    learning.use(work)
    (span,) = spans.get_finished_spans()
    span.to_json().encode()
    assert span.name == "pattern_learning.im?port"
    assert dict(span.attributes or {})["pattern_learning.?"] == "?" + 3000 * "x"


def test_a_broken_opentelemetry_costs_only_the_span(
    learning: LearningDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(TracerProvider):
        def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("the exporter is misconfigured")

    monkeypatch.setattr(telemetry, "_TRACER_PROVIDER", Broken())

    async def work(layer: Layer) -> None:
        await get_pattern_tracer()
        with caplog.at_level(logging.WARNING, "pattern_learning"):
            await layer.store()

    learning.use(work)
    assert "the exporter is misconfigured" in caplog.text
    assert len(traces(learning)) == 1
