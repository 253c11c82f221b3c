"""The spans of a run, as an exporter of OpenTelemetry gets them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from code_patterns.codes import Code
from code_patterns.errors import PatternsError
from code_patterns.sync import stages
from code_patterns.sync.pipeline import Pipeline
from code_patterns.sync.stages import Stages
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(stages.trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


def test_a_run_has_a_span_for_each_batch_and_stage(sides: TwoSides, exporter: InMemorySpanExporter) -> None:
    sides.insert(rows(25))
    result = sides.sync("full", batch_size=10)
    spans = exporter.get_finished_spans()
    [run] = [span for span in spans if span.name == "code_patterns.run"]
    children = [span for span in spans if span is not run]
    assert all(span.parent and span.parent.span_id == run.context.span_id for span in children)

    def of(name: str, count: str) -> list[Any]:
        return [span.attributes[f"code_patterns.{count}"] for span in spans if span.name == f"code_patterns.{name}"]

    assert sorted(of("embed", "patterns")) == sorted(of("upsert", "patterns")) == [5, 10, 10]
    assert sum(of("embed", "characters")) == result.counts["embedded_characters"]
    # The last look finds nothing more, and neither does the one that catches up.
    assert sorted(of("read", "changes")) == [0, 0, 5, 10, 10]
    # The first proof finds at once that both sides differ.
    assert of("prove", "patterns") == [0, 25]
    for span in spans:
        assert {"code_patterns.kind", "code_patterns.collection"} <= span.attributes.keys()
        assert all(
            isinstance(value, int) or key in ("code_patterns.kind", "code_patterns.collection")
            for key, value in span.attributes.items()
        )
        assert not span.events


def test_a_span_of_a_failure_has_the_type_of_the_error_only(
    sides: TwoSides, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise PatternsError(Code.STATEMENT_REFUSED, "a secret that a row held")

    monkeypatch.setattr(Pipeline, "_change", refuse)
    sides.insert(rows(2))
    with pytest.raises(PatternsError):
        sides.sync("full")
    broken = [span for span in exporter.get_finished_spans() if not span.status.is_ok and span.status.description]
    assert {(span.name, span.status.description) for span in broken} == {
        ("code_patterns.upsert", "PatternsError"),
        ("code_patterns.run", "PatternsError"),
    }
    assert not any(span.events for span in broken)


def test_without_tracing_the_seconds_are_measured_and_no_span_records(sides: TwoSides) -> None:
    sides.insert(rows(3))
    result = sides.sync("full")
    assert all(result.stages[f"{name}_seconds"] > 0 for name in ("read", "embed", "upsert", "prove"))

    async def work() -> None:
        with Stages("full", "c").measured("embed", patterns=1):
            assert not stages.trace.get_current_span().is_recording()

    asyncio.run(work())


def test_what_a_failed_run_did_is_told_and_stored(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = Pipeline._change, []

    async def fail_late(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            await asyncio.sleep(0.2)
            raise PatternsError(Code.STATEMENT_REFUSED, "the second batch fails")
        return await write(self, *arguments)

    monkeypatch.setattr(Pipeline, "_change", fail_late)
    sides.insert(rows(20))
    with pytest.raises(PatternsError):
        sides.sync("full", batch_size=10)
    [(status, new, characters, embed)] = sides.execute(
        "SELECT status, created, embedded_characters, embed_seconds FROM pattern_sync_runs"
    )
    assert (status, new, characters > 0, embed > 0) == ("failed", 10, True, True)
