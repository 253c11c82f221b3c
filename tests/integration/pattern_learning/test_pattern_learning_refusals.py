"""What the storage layer refuses: one sentence that names the field, and nothing written."""

import asyncio
import math
import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from code_patterns.codes import Code
from pattern_learning import fields, track2_integration
from pattern_learning.contract import ModelContractEffect
from pattern_learning.jobs import run_operation
from pattern_learning.rows import as_json
from pattern_learning.track2_integration import get_pattern_tracer
from tests.conftest import ROOT
from tests.support.learning_database import OPERATIONS, Layer, LearningDatabase, template

DAY = datetime(2026, 3, 2, tzinfo=UTC)
UNKNOWN = UUID(int=7)
TABLE = ROOT / "docs" / "pattern_learning_refusals.md"

# operation, arguments, words of the message
BAD = [
    ("insert", {}, ["data"]),
    ("insert", {"data": "x"}, ["data", "object"]),
    ("insert", {"data": {}}, ["data lacks pattern_name and pattern_type"]),
    ("insert", {"data": {"pattern_name": "x"}}, ["data lacks pattern_type"]),
    ("insert", {"data": template(None)}, ["data lacks pattern_name"]),
    ("insert", {"data": template("  ")}, ["data.pattern_name", "not empty"]),
    ("insert", {"data": template(7)}, ["data.pattern_name", "text"]),
    ("insert", {"data": template("nul\x00")}, ["data.pattern_name", "NUL"]),
    ("insert", {"data": template("\ud800")}, ["data.pattern_name", "surrogates"]),
    ("insert", {"data": template(confidence_score=1.5)}, ["data.confidence_score is 1.5", "from 0 to 1"]),
    ("insert", {"data": template(confidence_score=-0.01)}, ["data.confidence_score"]),
    ("insert", {"data": template(confidence_score=math.nan)}, ["data.confidence_score"]),
    ("insert", {"data": template(confidence_score="0.5")}, ["data.confidence_score"]),
    ("insert", {"data": template(confidence_score=True)}, ["data.confidence_score"]),
    ("insert", {"data": template(success_rate=Decimal("Infinity"))}, ["data.success_rate"]),
    ("insert", {"data": template(complexity_score=10**400)}, ["data.complexity_score"]),
    ("insert", {"data": template(usage_count=-1)}, ["data.usage_count"]),
    ("insert", {"data": template(usage_count=1.5)}, ["data.usage_count"]),
    ("insert", {"data": template(usage_count=2**63)}, ["data.usage_count"]),
    ("insert", {"data": template(is_deprecated="yes")}, ["data.is_deprecated", "true or false"]),
    ("insert", {"data": template(parent_pattern_id="not-a-uuid")}, ["data.parent_pattern_id", "UUID"]),
    (
        "insert",
        {"data": template(parent_pattern_id=UNKNOWN)},
        ["data.parent_pattern_id", str(UNKNOWN), "invalid reference"],
    ),
    ("insert", {"data": template(tags=[1])}, ["data.tags"]),
    ("insert", {"data": template(tags=7)}, ["data.tags"]),
    ("insert", {"data": template(tags=["\x00"])}, ["data.tags", "NUL"]),
    ("insert", {"data": template(context={"x": math.inf})}, ["data.context"]),
    ("insert", {"data": template(context={"x": object()})}, ["data.context"]),
    ("insert", {"data": template(context={"x": "\x00"})}, ["data.context", "NUL"]),
    ("insert", {"data": template(context="\udfff")}, ["data.context", "surrogates"]),
    ("insert", {"data": template(last_used_at="yesterday")}, ["data.last_used_at"]),
    (
        "insert",
        {"data": template(discovered_at="9999-12-31T23:59:59.999999")},
        ["data.discovered_at is '9999-12-31T23:59:59.999999'", "before 9999-12-31T23:59:59.999999+00:00"],
    ),
    ("insert", {"data": template(last_used_at=datetime.min)}, ["data.last_used_at", "after 0001-01-01T00:00:00+00:00"]),
    ("insert", {"data": template(last_used_at=20260301)}, ["data.last_used_at"]),
    ("insert", {"data": template(updated_at=DAY)}, ["data has the unknown field 'updated_at'"]),
    ("insert", {"data": template("kept")}, ["'kept' of type 'code' in language 'python' already exists"]),
    ("insert", {"data": template(), "correlation_id": "zzz"}, ["correlation_id is 'zzz'"]),
    ("update", {"data": {"category": "x"}}, ["pattern_id required"]),
    ("update", {"pattern_id": "zzz", "data": {"category": "x"}}, ["pattern_id is 'zzz'", "UUID"]),
    ("update", {"pattern_id": 7, "data": {"category": "x"}}, ["pattern_id is 7"]),
    ("update", {"pattern_id": UNKNOWN, "data": {"category": "x"}}, ["pattern_id", str(UNKNOWN), "not found"]),
    ("update", {"pattern_id": ..., "data": {}}, ["No updates", "data is missing or empty"]),
    ("update", {"pattern_id": ...}, ["No updates"]),
    ("update", {"pattern_id": ..., "data": {"id": UNKNOWN}}, ["data has the unknown field 'id'"]),
    ("update", {"pattern_id": ..., "data": {"usage_count": None}}, ["data.usage_count is null"]),
    ("update", {"pattern_id": ..., "data": {"success_rate": 2}}, ["data.success_rate"]),
    ("update", {"pattern_id": ..., "data": {"pattern_name": "other"}}, ["pattern_name", "already exists"]),
    (
        "update",
        {"pattern_id": ..., "data": {"deprecated_by_id": UNKNOWN}},
        ["data.deprecated_by_id", "invalid reference"],
    ),
    ("delete", {}, ["pattern_id required"]),
    ("delete", {"pattern_id": UNKNOWN}, ["not found"]),
    ("batch_insert", {}, ["No patterns provided", "patterns is missing or empty"]),
    ("batch_insert", {"patterns": []}, ["No patterns provided", "patterns is missing or empty"]),
    ("batch_insert", {"patterns": [template("x"), {"pattern_name": "y"}]}, ["patterns[1] lacks pattern_type"]),
    ("batch_insert", {"patterns": [template("x"), "y"]}, ["patterns[1]", "object"]),
    ("batch_insert", {"patterns": [template("x", strength=1)]}, ["patterns[0] has the unknown field 'strength'"]),
    ("batch_insert", {"patterns": [template("x", confidence_score=2)]}, ["patterns[0].confidence_score"]),
    (
        "batch_insert",
        {"patterns": [template("x"), template("y", parent_pattern_id=UNKNOWN)]},
        ["patterns[1].parent_pattern_id", str(UNKNOWN), "invalid reference"],
    ),
    ("get_by_id", {}, ["pattern_id required"]),
    ("get_by_id", {"pattern_id": UNKNOWN}, ["not found"]),
    ("search", {}, ["search_query is missing"]),
    ("search", {"search_query": " "}, ["search_query"]),
    ("search", {"search_query": 7}, ["search_query"]),
    ("search", {"search_query": "x", "limit": -1}, ["limit is -1"]),
    ("search", {"search_query": "x", "filters": {"nonsense": 1}}, ["filters has the unknown field 'nonsense'"]),
    ("filter", {}, ["filters is missing or empty"]),
    ("filter", {"filters": {}}, ["filters is missing or empty"]),
    ("filter", {"filters": ["x"]}, ["filters", "object"]),
    ("filter", {"filters": {"min_confidence_score": 1.5}}, ["filters.min_confidence_score is 1.5"]),
    ("filter", {"filters": {"min_success_rate": None}}, ["filters.min_success_rate is null"]),
    ("filter", {"filters": {"updated_at": datetime.max.replace(tzinfo=UTC)}}, ["filters.updated_at"]),
    ("filter", {"filters": {"is_deprecated": "no"}}, ["filters.is_deprecated"]),
    ("filter", {"filters": {"language": "x"}, "limit": -1}, ["limit is -1"]),
    ("filter", {"filters": {"language": "x"}, "limit": None}, ["limit is None"]),
    ("filter", {"filters": {"language": "x"}, "limit": 2**70}, ["limit"]),
    ("filter", {"filters": {"language": "x"}, "offset": -5}, ["offset is -5"]),
    ("get_related", {}, ["pattern_id required"]),
    ("get_related", {"pattern_id": UNKNOWN}, ["not found"]),
    ("get_top", {"limit": True}, ["limit is True"]),
    ("get_top", {"filters": {"usage_events": 1}}, ["filters has the unknown field"]),
    ("get_by_type", {}, ["filters lacks pattern_type"]),
    ("record_usage", {"usage_data": {}}, ["pattern_id required"]),
    ("record_usage", {"pattern_id": ...}, ["usage_data"]),
    ("record_usage", {"pattern_id": UNKNOWN, "usage_data": {}}, ["invalid reference", "not found"]),
    (
        "record_usage",
        {"pattern_id": ..., "usage_data": {"execution_time_ms": -1}},
        ["usage_data.execution_time_ms is -1"],
    ),
    ("record_usage", {"pattern_id": ..., "usage_data": {"execution_time_ms": 2**31}}, ["usage_data.execution_time_ms"]),
    ("record_usage", {"pattern_id": ..., "usage_data": {"success": 1}}, ["usage_data.success"]),
    ("record_usage", {"pattern_id": ..., "usage_data": {"quality_after": math.nan}}, ["usage_data.quality_after"]),
    (
        "record_usage",
        {"pattern_id": ..., "usage_data": {"quality_after": 1e155}},
        ["usage_data.quality_after is 1e+155", "a number from -1e+100 to 1e+100"],
    ),
    ("record_usage", {"pattern_id": ..., "usage_data": {"quality_before": -1.1e100}}, ["usage_data.quality_before"]),
    (
        "record_usage",
        {"pattern_id": ..., "usage_data": {"used_at": "0001-01-01T01:30:00+01:30"}},
        ["usage_data.used_at", "after 0001-01-01T00:00:00+00:00"],
    ),
    ("record_usage", {"pattern_id": ..., "usage_data": {"project_id": "x"}}, ["usage_data.project_id"]),
    ("record_usage", {"pattern_id": ..., "usage_data": {"quality_improvement": 1}}, ["'quality_improvement'"]),
    ("update_stats", {}, ["pattern_id required"]),
    ("update_stats", {"pattern_id": UNKNOWN}, ["not found"]),
    ("create_relationship", {}, ["relationship_data is missing"]),
    ("create_relationship", {"relationship_data": {"strength": 1}}, ["lacks source_pattern_id and target_pattern_id"]),
    ("create_relationship", {"relationship_data": {"ends": ..., "strength": 2}}, ["relationship_data.strength is 2"]),
    ("create_relationship", {"relationship_data": {"ends": ..., "weight": 1}}, ["unknown field 'weight'"]),
    ("create_relationship", {"relationship_data": {"ends": ..., "target_pattern_id": ...}}, ["with itself"]),
    (
        "create_relationship",
        {"relationship_data": {"ends": ..., "target_pattern_id": UNKNOWN}},
        ["relationship_data.target_pattern_id", str(UNKNOWN), "invalid reference"],
    ),
    ("create_relationship", {"relationship_data": {"ends": ..., "relationship_type": ""}}, ["relationship_type"]),
    ("update_relationship", {}, ["relationship_data is missing"]),
    ("update_relationship", {"relationship_data": {"ends": ...}}, ["No updates", "changes nothing"]),
    (
        "update_relationship",
        {"relationship_data": {"ends": ..., "strength": 0.1}},
        ["names no relationship", "not found"],
    ),
    ("update_relationship", {"relationship_data": {"relationship_id": UNKNOWN, "strength": -1}}, ["strength is -1"]),
    ("update_relationship", {"relationship_data": {"relationship_id": UNKNOWN, "strength": 1}}, [str(UNKNOWN)]),
    ("compute_analytics", {"pattern_id": UNKNOWN}, ["not found"]),
    ("compute_analytics", {"period_start": DAY, "period_end": DAY}, ["period_start", "before period_end"]),
    ("compute_analytics", {"period_start": "soon"}, ["period_start is 'soon'"]),
    ("compute_analytics", {"period_end": "0001-01-01"}, ["period_end"]),
    (
        "compute_analytics",
        {"period_start": "0001-02-01", "period_end": "9000-01-01"},
        ["period_start is '0001-02-01T00:00:00+00:00'", "4713 BC"],
    ),
    ("compute_analytics", {"period_end": "0001-01-31"}, ["period_end", "more than 30 days before it"]),
    ("get_usage_trends", {"period_end": "0001-04-01"}, ["period_end", "more than 90 days before it"]),
    ("get_usage_trends", {"period_start": "0001-01-01", "period_end": "0001-01-02"}, ["period_start is '0001-01-01'"]),
    (
        "get_quality_trends",
        {"period_start": "9999-12-31", "period_end": "9999-12-31T22:59:59.999999-01:00"},
        ["period_end is", "before 9999-12-31T23:59:59.999999+00:00"],
    ),
    ("get_usage_trends", {"aggregate_by": "hour"}, ["aggregate_by is 'hour'"]),
    ("get_usage_trends", {"aggregate_by": None}, ["aggregate_by is None"]),
    ("get_usage_trends", {"pattern_id": UNKNOWN}, ["not found"]),
    ("get_usage_trends", {"period_start": "1800-01-01"}, ["period_start", "10000 days"]),
    ("get_quality_trends", {"aggregate_by": "day'; DROP TABLE pattern_templates; --"}, ["aggregate_by"]),
    ("get_effectiveness", {}, ["pattern_id required"]),
    ("get_effectiveness", {"pattern_id": UNKNOWN}, ["not found"]),
]


def table(answers: list[tuple[str, dict[str, Any], str]]) -> str:
    """What was refused and how, as documentation."""

    def cell(text: str) -> str:
        # Where an object is in memory is another place every time.
        return "`" + re.sub("0x[0-9a-f]+", "0x...", text).replace("|", "\\|") + "`"

    lines = [
        "# What the storage layer answers to what it refuses",
        "",
        "Every row is a call and the `error` of its result; nothing is written by any of them. `...` stands for a",
        "template that exists, or for what a valid call has there. A test compares each row with the real answer, and",
        "writes this file anew with "
        "`UPDATE_REFUSALS=1 pytest tests/integration/pattern_learning/test_pattern_learning_refusals.py`.",
        "",
        "| operation | given | answer |",
        "|---|---|---|",
    ]
    for operation, arguments, message in answers:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items()) or "nothing"
        given = given.replace("Ellipsis", "...").replace("'ends': ...", "...")
        given = given if len(given) <= 120 else given[:117] + "..."
        lines.append(f"| {operation} | {cell(given)} | {cell(message)} |")
    return "\n".join([*lines, ""])


def test_every_bad_argument_is_refused_by_name(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        kept, other = await layer.store("kept"), await layer.store("other")
        ends = {"source_pattern_id": kept, "target_pattern_id": other, "relationship_type": "similar"}

        def filled(name: str, value: Any) -> Any:
            if isinstance(value, dict) and value.get("ends") is ...:
                value = {**ends, **{key: filled(key, each) for key, each in value.items() if key != "ends"}}
            return kept if value is ... else value

        before = learning.counts()
        answers = []
        for operation, arguments, words in BAD:
            given = {name: filled(name, value) for name, value in arguments.items()}
            message = await layer.refused(operation, **given)
            for word in words:
                assert word in message, f"{operation} {arguments}: {message}"
            answers.append(
                (
                    operation,
                    arguments,
                    message.removesuffix(f" [{Code.ARGUMENT_REFUSED}]").replace(kept, "...").replace(other, "..."),
                )
            )
        assert learning.counts() == before
        shown = table(answers)
        if os.environ.get("UPDATE_REFUSALS"):
            TABLE.write_text(shown, "utf-8")
        assert TABLE.read_text("utf-8") == shown
        stats = await layer.manager.get_pool_stats()
        assert stats["active_connections"] == 0

    learning.use(work)


def test_an_operation_of_another_node_is_refused(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        for node, own in OPERATIONS.items():
            foreign = [name for other, names in OPERATIONS.items() if other != node for name in names]
            for name in [*foreign, "drop", "", "INSERT", "__init__", None, 7, ["insert"]]:
                result = await layer.run(name, node=node)  # type: ignore[arg-type]
                assert not result.success
                assert f"Unsupported operation: operation is {name!r}" in str(result.error)
                assert ", ".join(own) in str(result.error)
                assert set(result.metadata) == {"correlation_id", "retryable", "code"}

    learning.use(work)


HOSTILE = [
    'pattern_name"; DROP TABLE pattern_templates; --',
    "pattern_name = 'x' --",
    "confidence_score /* */",
    "1=1) OR (1",
    "PATTERN_NAME",
    " pattern_name",
    "pattern_name ",
    "pаttern_name",  # noqa: RUF001 -- a Cyrillic a
    "pattern_name\u200b",
    "ｐattern_name",  # noqa: RUF001 -- a full-width p
    "template.id",
    "strength",
    "used_at",
    "total_usage_count",
    "sync_xid",
    "ctid",
    "$1",
    "",
    "tags[1]",
    "min_usage_count",
    "/* columns */",
]
known = set(fields.FILTERS) | set(fields.TEMPLATE)


async def _attack(layer: Layer, pattern: str, name: Any, value: Any) -> None:
    for operation, arguments in (
        ("insert", {"data": {**template("attack"), name: value}}),
        ("update", {"pattern_id": pattern, "data": {name: value}}),
        ("batch_insert", {"patterns": [{**template("attack"), name: value}]}),
        ("filter", {"filters": {name: value}}),
        ("search", {"search_query": "x", "filters": {name: value}}),
        ("get_top", {"filters": {name: value}}),
        ("get_related", {"pattern_id": pattern, "filters": {name: value}}),
    ):
        assert "unknown field" in await layer.refused(operation, **arguments), (operation, name)


def test_no_key_reaches_sql(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern = await layer.store("kept")
        for name in HOSTILE:
            await _attack(layer, pattern, name, "x")
        for name in (None, 7, ("pattern_name",), b"pattern_name"):
            await _attack(layer, pattern, name, "x")

    learning.use(work)
    assert learning.counts()["pattern_templates"] == 1


names = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=30),
    st.builds(lambda name, tail: name + tail, st.sampled_from(sorted(known)), st.text(min_size=1, max_size=5)),
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(["'; DROP TABLE pattern_templates; --", "\\", "%_", "{}", '{"a"}', "$1", "NaN", "now()"]),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


def test_any_names_and_values_either_work_or_are_refused(learning: LearningDatabase) -> None:
    """Keys beside the known ones are always refused; values of known ones come back as they went in, or are refused."""
    loop = asyncio.new_event_loop()

    def run(work: Callable[[], Awaitable[Any]]) -> Any:
        return loop.run_until_complete(work())

    opened = learning.open()
    layer: Layer = run(opened.__aenter__)

    @settings(max_examples=120, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(name=names.filter(lambda name: name not in known), known_name=st.sampled_from(sorted(known)), value=values)
    def attack(name: str, known_name: str, value: Any) -> None:
        async def work() -> None:
            pattern = (await layer.do("insert", data=template(str(uuid4()))))["pattern_id"]
            await _attack(layer, pattern, name, value)
            changed = await layer.run("update", pattern_id=pattern, data={known_name: value})
            if changed.success:
                found = await layer.do("get_by_id", pattern_id=pattern)
                if isinstance(value, str) and not known_name.endswith(("_at", "_id", "tags")):
                    assert found[known_name] == value
            else:
                assert known_name in str(changed.error)
            chosen = await layer.run("filter", filters={known_name: value})
            assert chosen.success or f"filters.{known_name}" in str(chosen.error), chosen.error
            await layer.do("delete", pattern_id=pattern)

        run(work)

    try:
        attack()
        assert set(learning.counts().values()) == {0}
    finally:
        run(lambda: opened.__aexit__(None, None, None))
        loop.close()


def test_a_failure_in_the_middle_of_a_batch_leaves_nothing(learning: LearningDatabase) -> None:
    """The second statement of a transaction fails: the first is taken back."""

    async def work(layer: Layer) -> None:
        batch = [template(f"ok {number}") for number in range(2500)] + [template("bad", parent_pattern_id=UNKNOWN)]
        assert str(UNKNOWN) in await layer.refused("batch_insert", patterns=batch)

    learning.use(work)
    assert set(learning.counts().values()) == {0}


def test_a_value_that_the_database_cannot_hold_is_the_callers(learning: LearningDatabase) -> None:
    """Adopted tables keep their types, and an index holds less than a table."""
    learning.rows(
        "ALTER TABLE pattern_templates ALTER category TYPE varchar(5), ALTER complexity_score TYPE int, "
        "ALTER maintainability_score TYPE numeric(3, 2), ADD CHECK (category <> 'x')"
    )
    rare = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(9_000))
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("insert", {"data": template(rare)}, "Give a shorter text"),
        ("insert", {"data": template(tags=[rare * 2])}, "Give a shorter text"),
        ("batch_insert", {"patterns": [template("a"), template("b", category="longer")]}, "Give a shorter text"),
        ("insert", {"data": template(complexity_score=2**40)}, "Give a smaller number"),
        ("update", {"pattern_id": ..., "data": {"maintainability_score": 1e6}}, "Give a smaller number"),
        ("search", {"search_query": " ".join(f"w{number}" for number in range(20_000))}, "Give a shorter text"),
        ("insert", {"data": template(category="x", template_code="own")}, "violates check constraint"),
    ]

    async def work(layer: Layer) -> None:
        kept = await layer.store("kept")
        for operation, arguments, words in refused:
            arguments = {name: kept if value is ... else value for name, value in arguments.items()}
            result = await layer.run(operation, **arguments)
            assert result.metadata["code"] == str(Code.ARGUMENT_REFUSED), result.error
            assert words in str(result.error)
            # The server's detail quotes the whole row.
            assert "own" not in str(result.error)
            assert "\n" not in str(result.error)

    learning.use(work)
    assert learning.counts()["pattern_templates"] == 1


def test_the_correlation_id_comes_back_as_it_was(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        for given_id in ("not-a-uuid", 7, ""):
            result = await layer.run("get_top", correlation_id=given_id)
            assert not result.success
            assert result.metadata["correlation_id"] == str(given_id)

    learning.use(work)


def test_a_document_is_not_too_deep_for_its_readers(learning: LearningDatabase) -> None:
    """Python gives up at 1,000 levels or before, in a list of templates as for one."""

    def nested(depth: int) -> Any:
        document: Any = []
        for number in range(depth - 1):
            document = {"x": document} if number % 2 else [document, 1]
        return document

    async def work(layer: Layer) -> None:
        deep = nested(100)
        pattern = await layer.store(context=deep)
        for depth in (101, 970):
            assert "nested at most 100 deep" in await layer.refused("insert", data=template("x", context=nested(depth)))
        usage = {"context": nested(101)}
        assert "usage_data.context" in await layer.refused("record_usage", pattern_id=pattern, usage_data=usage)
        listed = ModelContractEffect("filter", filters={"language": "python"})
        (found,) = await run_operation(learning.config, listed, "test")
        assert found["context"] == deep

    learning.use(work)


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ('{"n": 1e5000, "kept": 1}', {"n": None, "kept": 1}),
        ("[" * 3000 + "]" * 3000, None),
    ],
    ids=["digits", "depth"],
)
@pytest.mark.parametrize("kind", ["json", "jsonb"])
def test_a_document_of_another_writer_spoils_no_list(
    learning: LearningDatabase, kind: str, stored: str, read: Any
) -> None:
    learning.rows(f"ALTER TABLE pattern_templates ALTER context TYPE {kind} USING context::{kind}")
    learning.rows(
        f"INSERT INTO pattern_templates (pattern_name, pattern_type, context) VALUES ('odd', 'code', %s::{kind})",
        stored,
    )

    async def work(layer: Layer) -> None:
        await layer.store("kept", context={"n": 2.5})
        rows = await layer.do("filter", filters={"pattern_type": "code"})
        assert {row["pattern_name"]: row["context"] for row in rows} == {"odd": read, "kept": {"n": 2.5}}
        as_json(rows)

    learning.use(work)


def test_a_value_without_a_text_is_refused_by_name(learning: LearningDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python writes no number of more than 4,300 digits; an object may write nothing at all."""
    monkeypatch.setattr(track2_integration, "_tracer", None)

    class Unspeakable:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    async def work(layer: Layer) -> None:
        await get_pattern_tracer()
        pattern = await layer.store()
        huge, unspeakable = 10**5000, Unspeakable()
        for operation, arguments, words in (
            (
                "record_usage",
                {"pattern_id": pattern, "usage_data": {"quality_before": huge}},
                "usage_data.quality_before",
            ),
            ("get_top", {"limit": huge}, "limit is <int>"),
            ("get_top", {"limit": unspeakable}, "limit is <Unspeakable>"),
            ("get_top", {"filters": {huge: 1}}, "filters has the unknown field '<int>'"),
            ("update", {"pattern_id": unspeakable, "data": {"category": "x"}}, "pattern_id is <Unspeakable>"),
            ("insert", {"data": template(context=[huge])}, "data.context is <list>"),
            ("get_top", {"correlation_id": huge}, "correlation_id is <int>"),
            ("get_top", {"correlation_id": unspeakable}, "correlation_id is <Unspeakable>"),
        ):
            refused = await layer.refused(operation, **arguments)  # type: ignore[arg-type]
            assert words in refused
            assert Code.ARGUMENT_REFUSED in refused
        for name in (huge, unspeakable):
            result = await layer.run(name, node="storage")  # type: ignore[arg-type]
            assert "Unsupported operation: operation is <" in str(result.error)

    learning.use(work)
    assert learning.rows("SELECT count(*) AS n FROM pattern_learning_traces WHERE NOT success") == [{"n": 10}]


def test_a_node_without_a_pool_says_so() -> None:
    from pattern_learning import NodePatternQueryEffect

    result = asyncio.run(NodePatternQueryEffect(None).execute_effect(ModelContractEffect("get_top")))
    assert "has no pool" in str(result.error)
