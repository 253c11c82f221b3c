"""The network loses the answer of a write that PostgreSQL has made: it is made once, and the result says so."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import config_of
from tests.support import postgres_proxy
from tests.support.learning_database import Layer, LearningDatabase, template

KNOWN = uuid4()
USED = {"success": True}
ONE = {"pattern_templates": 1, "pattern_usage_events": 0, "pattern_relationships": 0, "pattern_analytics": 0}


def related(ids: list[str]) -> dict[str, Any]:
    ends = dict(zip(("source_pattern_id", "target_pattern_id"), ids, strict=True))
    return {"relationship_data": {**ends, "relationship_type": "similar", "strength": 0.25}}


WRITES: dict[str, tuple[bytes, Callable[[list[str]], dict[str, Any]], dict[str, int], dict[str, Any]]] = {
    "insert": (
        b"INSERT INTO pattern_templates",
        lambda _: {"data": template("new")},
        {"pattern_templates": 3},
        {"pattern_name": "new"},
    ),
    "insert with an id": (
        b"INSERT INTO pattern_templates",
        lambda _: {"data": template("new", id=KNOWN)},
        {"pattern_templates": 3},
        {"pattern_id": str(KNOWN)},
    ),
    "batch_insert": (
        b"COMMIT",
        lambda _: {"patterns": [template("a"), template("b", description="other columns")]},
        {"pattern_templates": 4},
        {"count": 2},
    ),
    "update": (
        b"UPDATE pattern_templates",
        lambda ids: {"pattern_id": ids[0], "data": {"category": "net"}},
        {},
        {"fields_updated": ["category"]},
    ),
    "delete": (b"COMMIT", lambda ids: {"pattern_id": ids[0]}, {"pattern_templates": 1}, {"deleted": True}),
    "record_usage": (
        b"INSERT INTO pattern_usage_events",
        lambda ids: {"pattern_id": ids[0], "usage_data": USED},
        {"pattern_usage_events": 1},
        {},
    ),
    "update_stats": (b"COMMIT", lambda ids: {"pattern_id": ids[0]}, {}, {"usage_count": 0}),
    "create_relationship": (
        b"INSERT INTO pattern_template_relationships",
        related,
        {"pattern_relationships": 1},
        {"created": True, "strength": 0.25},
    ),
    "compute_analytics": (
        b"compute_pattern_analytics",
        lambda ids: {"pattern_id": ids[0], "period_start": "2026-01-01", "period_end": "2026-01-02"},
        {"pattern_analytics": 1},
        {"total_usage_count": 0},
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_whose_answer_is_lost_is_made_once(learning: LearningDatabase, write: str) -> None:
    lose, arguments, changed, says = WRITES[write]
    before = {**ONE, "pattern_templates": 2}
    with postgres_proxy.before(config_of(learning.dsn)) as proxy:
        behind = LearningDatabase(f"{learning.dsn} host=127.0.0.1 port={proxy.port}")

        async def work(layer: Layer) -> Any:
            ids = [await layer.store("one"), await layer.store("two")]
            proxy.lose = lose
            return await layer.do(write.split()[0], **arguments(ids))

        data = behind.use(work)
    assert proxy.lost == 1
    assert data | says == data
    counts = learning.counts()
    assert {table: counts[table] for table in before} == before | changed
    used = learning.rows("SELECT sum(usage_count) AS used FROM pattern_templates")[0]["used"]
    assert used == (1 if write == "record_usage" else 0)


@pytest.mark.parametrize(("write", "lose"), [("delete", b"DELETE FROM"), ("batch_insert", b"unnest($1::uuid[]")])
def test_a_transaction_that_breaks_before_its_end_is_made_again(
    learning: LearningDatabase, write: str, lose: bytes
) -> None:
    _, arguments, changed, says = WRITES[write]
    with postgres_proxy.before(config_of(learning.dsn)) as proxy:
        behind = LearningDatabase(f"{learning.dsn} host=127.0.0.1 port={proxy.port}")

        async def work(layer: Layer) -> Any:
            ids = [await layer.store("one"), await layer.store("two")]
            proxy.lose = lose
            return await layer.do(write, **arguments(ids))

        data = behind.use(work)
    assert proxy.lost == 1
    assert data | says == data
    assert learning.counts()["pattern_templates"] == changed["pattern_templates"]


def test_a_template_that_was_there_before_is_no_lost_answer(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        await layer.do("insert", data=template("new", id=KNOWN))
        assert "already exists" in await layer.refused("insert", data=template("new", id=KNOWN))
        assert "already exists" in await layer.refused("insert", data=template("other", id=KNOWN))

    learning.use(work)
    assert learning.counts()["pattern_templates"] == 1
