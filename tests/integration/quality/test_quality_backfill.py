"""The backfill against a real PostgreSQL and the real Qdrant API: what stands in the table when it is over."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.quality import VERSION, score_pattern
from code_patterns.quality.backfill import backfill
from code_patterns.quality.backfill_result import BackfillResult
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.quality.points import PointSource, pattern_id_of
from code_patterns.quality.store import ScoreStore, content_hash_of
from code_patterns.run_identity import RunIdentity
from tests.conftest import ROOT
from tests.support.real_functions import some_functions
from tests.support.two_sides import TwoSides, rows

OLD_ID = 1761955847246
SCORES = "SELECT pattern_id, quality_score, confidence, version, metadata FROM pattern_quality_metrics"


def put(sides: TwoSides, name: str, points: Mapping[Any, dict[str, Any] | None]) -> str:
    """Fill a collection of this test's own; return its full name."""
    full = f"{sides.collection}_{name}"

    async def fill(client: AsyncQdrantClient) -> None:
        if not await client.collection_exists(full):
            vectors = models.VectorParams(size=2, distance=models.Distance.COSINE)
            await client.create_collection(full, vectors_config=vectors)
        structs = [models.PointStruct(id=key, vector=[1.0, 0.5], payload=value) for key, value in points.items()]
        for start in range(0, len(structs), 500):
            await client.upsert(full, structs[start : start + 500], wait=True)

    sides.with_client(fill)
    return full


def real_points(count: int, start: int = 0) -> dict[Any, dict[str, Any]]:
    """Points as the old writers made them: integer ids, previews instead of code."""
    return {
        OLD_ID + number: {"content_preview": code, "pattern_name": name, "file_path": path, "pattern_confidence": 0.6}
        for number, (name, path, code) in enumerate(some_functions(count, start), start)
    }


def run(sides: TwoSides, *collections: str, **settings: Any) -> BackfillResult:
    chosen = BackfillSettings(
        **{
            "collections": collections,
            "only_existing": False,
            "limit": None,
            "min_confidence": 0.0,
            "batch_size": 100,
            "delay_seconds": 0.0,
            "dry_run": False,
            "only_missing": False,
            **settings,
        }
    )
    return asyncio.run(backfill(sides.as_sync, sides.qdrant, chosen, RunIdentity(uuid.uuid4(), "dag", "run", 1)))


def stored(sides: TwoSides) -> dict[uuid.UUID, tuple[Any, ...]]:
    found = sides.execute(SCORES)
    assert len({row[0] for row in found}) == len(found)
    return {row[0]: row[1:] for row in found}


def test_every_point_without_lineage_has_its_score(sides: TwoSides) -> None:
    points = real_points(1085)
    name = put(sides, "archon_vectors", points)
    result = run(sides, name)
    assert (result.found, result.scored, result.stored, result.failed) == ({name: 1085}, 1085, 1085, 0)
    scores = stored(sides)
    assert scores.keys() == {pattern_id_of(key) for key in points}
    for key, payload in points.items():
        expected = score_pattern(payload)
        quality, confidence, version, metadata = scores[pattern_id_of(key)]
        assert (quality, confidence, version) == (expected.composite, 0.6, VERSION)
        assert {f"{name}_score": value for name, value in expected.dimensions.items()}.items() <= metadata.items()
        assert (metadata["collection"], metadata["content_hash"]) == (name, content_hash_of(payload))
        assert (metadata["pattern_name"], metadata["tier"]) == (payload["pattern_name"], expected.tier)
        assert (metadata["parser"], metadata["cyclomatic"]) == (expected.reading.parser, expected.cyclomatic)


def test_ids() -> None:
    node = uuid.uuid4()
    assert pattern_id_of(str(node)) == node
    assert pattern_id_of(OLD_ID) == uuid.uuid5(
        uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), f"qdrant-pattern-{OLD_ID}"
    )
    assert pattern_id_of("not-a-uuid") == uuid.uuid5(uuid.NAMESPACE_DNS, "qdrant-pattern-not-a-uuid")


def test_the_same_integer_in_two_collections_of_one_batch_is_one_pattern(sides: TwoSides) -> None:
    one = put(sides, "archon_vectors", {7: {"code": "def f(): pass", "confidence": 0.1}})
    two = put(sides, "quality_vectors", {7: {"code": "def f(x):\n    return x * 2 + 1", "confidence": 0.9}, 8: {}})
    result = run(sides, one, two, batch_size=100)
    assert (result.found, result.scored, result.stored) == ({one: 1, two: 2}, 3, 2)
    _, confidence, _, metadata = stored(sides)[pattern_id_of(7)]
    assert (confidence, metadata["collection"], metadata["completeness_score"]) == (0.9, two, 1.0)
    assert run(sides, two, one).stored == 2
    assert stored(sides)[pattern_id_of(7)][3]["collection"] == one


BROKEN: dict[Any, dict[str, Any] | None] = {
    1: None,
    2: {"code": None, "metadata": None, "use_cases": None, "confidence": None, "node_types": None},
    3: {"use_cases": "logging", "examples": "one", "node_types": "effect", "code": ["a", "list"]},
    4: {"confidence": "0.85", "code": "def f(x):\n    return x"},
    5: {"confidence": "very high", "pattern_confidence": "0.25", "language": 7, "file_path": {"a": 1}},
    6: {"pattern_name": "nul \x00 name", "language": "odd\x00language", "code": "x ==== y"},
    7: {"pattern_name": ["a"], "metadata": [1, 2], "text": {"a": "b"}, "complexity": 3},
    8: {"code": "x" * 300_000},
}


def test_broken_payloads_are_scored_on_what_they_have(sides: TwoSides) -> None:
    points = dict(BROKEN)
    if not sides.qdrant.url:
        points[9] = {"pattern_name": "\ud800lone", "code": "def \ud800(): pass"}
    name = put(sides, "archon_vectors", points)
    result = run(sides, name)
    assert (result.scored, result.stored, result.failed) == (len(points), len(points), 0)
    scores = stored(sides)
    confidences = [scores[pattern_id_of(key)][1] for key in range(1, 9)]
    assert confidences == [0.0, 0.0, 0.0, 0.85, 0.25, 0.0, 0.0, 0.0]
    assert scores[pattern_id_of(1)][3]["pattern_name"] == "unnamed_pattern"
    assert scores[pattern_id_of(6)][3]["pattern_name"] == "nul  name"
    assert scores[pattern_id_of(7)][3]["pattern_name"] == "unnamed_pattern"
    assert scores[pattern_id_of(3)][3]["metadata_richness_score"] == 0.25


def test_twice_is_the_same_rows_measured_later(sides: TwoSides) -> None:
    name = put(sides, "archon_vectors", real_points(150))
    run(sides, name, batch_size=40)
    before, first = (
        stored(sides),
        dict(sides.execute("SELECT pattern_id, measurement_timestamp FROM pattern_quality_metrics")),
    )
    run(sides, name, batch_size=37)
    assert stored(sides) == before
    second = dict(sides.execute("SELECT pattern_id, measurement_timestamp FROM pattern_quality_metrics"))
    assert all(second[key] > first[key] for key in first)
    assert sides.execute("SELECT count(*), count(DISTINCT pattern_id) FROM pattern_quality_metrics") == [(150, 150)]


def test_an_old_score_is_replaced_and_strangers_stay(sides: TwoSides) -> None:
    stranger = uuid.uuid4()
    sides.execute(
        "INSERT INTO pattern_quality_metrics (pattern_id, quality_score, version) "
        "VALUES (%s, 0.99, '1.0.0'), (%s, 0.5, '1.0.0')",
        [pattern_id_of(7), stranger],
    )
    run(sides, put(sides, "archon_vectors", {7: {"code": "pass"}}))
    assert {key: row[2] for key, row in stored(sides).items()} == {pattern_id_of(7): VERSION, stranger: "1.0.0"}


def test_only_missing_scores_what_changed(sides: TwoSides) -> None:
    points = real_points(60)
    name = put(sides, "archon_vectors", points)
    run(sides, name, limit=50)
    assert (run(sides, name, only_missing=True).skipped, len(stored(sides))) == (50, 60)
    changed = {key: {**payload, "confidence": 0.95} for key, payload in list(points.items())[:3]}
    # As after a change of model, in a collection with words.
    kept_by_the_sync = {"sync_timestamp": "later", "embedding_hash": "b", "content_hash": "b", "words_hash": "b"}
    untouched = {key: {**payload, **kept_by_the_sync, "truncated": True} for key, payload in list(points.items())[3:6]}
    put(sides, "archon_vectors", {**changed, **untouched})
    sides.execute(
        "UPDATE pattern_quality_metrics SET version = '1.0.0' WHERE pattern_id = %s", [pattern_id_of(OLD_ID + 9)]
    )
    result = run(sides, name, only_missing=True)
    assert (result.found, result.skipped, result.scored, result.stored) == ({name: 60}, 56, 4, 4)
    assert {stored(sides)[pattern_id_of(key)][1] for key in changed} == {0.95}


def test_another_weight_of_onex_scores_everything_again_and_is_told(sides: TwoSides) -> None:
    points = real_points(12)
    name = put(sides, "archon_vectors", points)
    assert run(sides, name, only_missing=True).stored == 12
    changed = run(sides, name, only_missing=True, onex_weight=0.0)
    assert (changed.skipped, changed.stored, changed.version) == (0, 12, f"{VERSION}+onex0")
    for key, payload in points.items():
        quality, _, version, metadata = stored(sides)[pattern_id_of(key)]
        assert (quality, version) == (score_pattern(payload, 0.0).composite, f"{VERSION}+onex0")
        assert metadata["onex_weight"] == 0.0
    assert run(sides, name, only_missing=True, onex_weight=0.0).skipped == 12
    assert run(sides, name, only_missing=True, limit=5).stored == 5
    weights = "SELECT metadata -> 'onex_weight', count(*) FROM pattern_quality_metrics GROUP BY 1 ORDER BY 1"
    assert sides.execute(weights) == [(0, 7), (0.2, 5)]
    versions = sides.execute("SELECT version FROM pattern_quality_runs ORDER BY started_at")
    assert versions == [(VERSION,), (f"{VERSION}+onex0",), (f"{VERSION}+onex0",), (VERSION,)]


@pytest.mark.parametrize("least", [0.0, 0.3, 0.6, 1.0])
def test_min_confidence_is_exact_for_every_kind_of_payload(sides: TwoSides, least: float) -> None:
    values: list[dict[str, Any] | None] = [
        {"confidence": 0.3},
        {"confidence": 0.29},
        {"confidence": 1},
        {"confidence": 85},
        {"confidence": "0.7"},
        {"confidence": "0.1"},
        {"confidence": None, "pattern_confidence": 0.6},
        {"pattern_confidence": 0.1},
        {"pattern_confidence": "0.65"},
        {"confidence": [], "pattern_confidence": 0.61},
        {"confidence": [0.1, 0.9], "pattern_confidence": 0.61},
        {"confidence": "text", "pattern_confidence": 0.61},
        {},
        None,
    ]
    points = dict(enumerate(values, 1))
    name = put(sides, "archon_vectors", points)
    result = run(sides, name, min_confidence=least, batch_size=3)
    expected = {pattern_id_of(key) for key, value in points.items() if score_pattern(value).confidence >= least}
    assert stored(sides).keys() == expected
    assert result.found == {name: len(expected)}


def test_limit_and_dry_run(sides: TwoSides) -> None:
    one, two = put(sides, "archon_vectors", real_points(30)), put(sides, "quality_vectors", real_points(30, 100))
    planned = run(sides, one, two, dry_run=True)
    assert (planned.scored, planned.stored, planned.run_id) == (60, 0, None)
    assert (stored(sides), sides.execute("SELECT * FROM pattern_quality_runs")) == ({}, [])
    limited = run(sides, one, two, limit=42, batch_size=10)
    assert (limited.found, len(stored(sides))) == ({one: 30, two: 12}, 42)


def test_the_result_and_the_history_tell_the_same(sides: TwoSides) -> None:
    points = real_points(120)
    name = put(sides, "archon_vectors", points)
    result = run(sides, name)
    scores = [score_pattern(payload) for payload in points.values()]
    for tier, (count, mean) in result.tiers.items():
        composites = [score.composite for score in scores if score.tier == tier]
        assert count == len(composites)
        assert mean == (pytest.approx(sum(composites) / count, abs=1e-4) if count else None)
    assert result.dimensions["documentation"] == pytest.approx(sum(s.documentation for s in scores) / 120, abs=1e-4)
    [(status, found, stored_count, poor, average, details, note)] = sides.execute(
        "SELECT status, found, stored, poor, average_score, details, note FROM pattern_quality_runs"
    )
    assert (status, found, stored_count, note) == ("succeeded", 120, 120, None)
    assert (poor, average) == (result.tiers["poor"][0], result.average_score)
    assert details["collections"] == {name: 120}
    assert details["dimensions"] == result.dimensions
    assert json.loads(json.dumps(result.as_xcom()))["fair"] == result.tiers["fair"][0]
    assert result.summary().startswith("120 scores stored (")
    for word in (name, "excellent", "documentation", "composite", "patterns per second"):
        assert word in result.table()


def test_the_views_serve_people(sides: TwoSides) -> None:
    name = put(sides, "archon_vectors", {1: {"code": "pass", "pattern_name": "worst"}, **real_points(20)})
    run(sides, name)
    sides.execute(
        "INSERT INTO pattern_quality_metrics (pattern_id, quality_score, metadata) "
        "VALUES (%s, 0.95, %s), (%s, 0.75, NULL)",
        [uuid.uuid4(), '{"completeness_score": "high"}', uuid.uuid4()],
    )
    tiers = sides.execute("SELECT tier, patterns, share, average_score FROM v_quality_distribution")
    assert [row[0] for row in tiers] == ["excellent", "good", "fair", "poor"]
    assert sum(row[1] for row in tiers) == 23
    assert (tiers[0][1], tiers[0][3], tiers[1][1]) == (1, 0.95, 1)
    assert sum(row[2] for row in tiers) == pytest.approx(1, abs=0.001)
    [worst] = sides.execute("SELECT pattern_name, tier, completeness FROM v_quality_worst_patterns LIMIT 1")
    assert worst == ("worst", "poor", 0.0)
    assert len(sides.execute("SELECT * FROM v_quality_worst_patterns")) == 23


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1e400", None),
        ("-1e400", None),
        ("1e-400", 0.0),
        ("0", 0.0),
        ("-0.25", -0.25),
        ("0.1234567890123456", 0.1234567890123456),
        ("1e307", 1e307),
        ('"0.5"', None),
        ("[0.5]", None),
        ("null", None),
    ],
)
def test_no_number_of_another_writer_breaks_a_view(sides: TwoSides, value: str, shown: float | None) -> None:
    sides.execute(
        "INSERT INTO pattern_quality_metrics (pattern_id, quality_score, metadata) VALUES (%s, 0.5, %s), (%s, 1, '[]')",
        [uuid.uuid4(), f'{{"complexity_score": {value}}}', uuid.uuid4()],
    )
    assert sides.execute("SELECT complexity FROM v_quality_worst_patterns") == [(shown,), (None,)]


def test_an_empty_distribution_has_every_tier(sides: TwoSides) -> None:
    assert sides.execute("SELECT patterns, share FROM v_quality_distribution") == [(0, 0.0)] * 4


def test_nothing_found_is_said_in_words(sides: TwoSides) -> None:
    name = put(sides, "archon_vectors", {})
    result = run(sides, name)
    assert result.found == {name: 0}
    assert "No pattern was found" in (result.note or "")
    assert sides.execute("SELECT status, note FROM pattern_quality_runs") == [("succeeded", result.note)]
    put(sides, "archon_vectors", {1: {"confidence": 0.1}})
    assert "confidence of 0.5 or more" in (run(sides, name, min_confidence=0.5).note or "")


def test_a_missing_collection_names_those_that_exist(sides: TwoSides) -> None:
    name = put(sides, "archon_vectors", {1: {}})
    with pytest.raises(ConfigurationError, match=f"no collection '{sides.collection}_typo'.*{name}"):
        run(sides, name, f"{sides.collection}_typo")
    both = run(sides, f"{sides.collection}_typo", name, only_existing=True)
    assert both.found == {name: 1}
    with pytest.raises(ConfigurationError, match="no collection"):
        run(sides, f"{sides.collection}_typo", only_existing=True)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE pattern_quality_metrics CASCADE", "the table pattern_quality_metrics"),
        ("DROP TABLE pattern_quality_runs", "the table pattern_quality_runs"),
        (
            "ALTER TABLE pattern_quality_metrics DROP CONSTRAINT pattern_quality_metrics_pattern_id_unique",
            "a unique constraint",
        ),
        (
            "ALTER TABLE pattern_quality_metrics ADD FOREIGN KEY (pattern_id) REFERENCES pattern_lineage_nodes (id)",
            "migration 013",
        ),
    ],
)
def test_a_missing_migration_is_found_before_anything_is_scored(sides: TwoSides, statement: str, words: str) -> None:
    name = put(sides, "archon_vectors", {1: {}})
    sides.execute(statement)
    with pytest.raises(ConfigurationError, match=f"lacks {words}.*Run schema_migration first"):
        run(sides, name)


@pytest.mark.remedy(Code.SCORE_REFUSED)
def test_a_score_the_database_refuses_costs_no_other(sides: TwoSides) -> None:
    points: dict[Any, dict[str, Any] | None] = dict(real_points(40))
    points |= {1: {"confidence": 0.666}, 2: {"confidence": 0.777}}
    name = put(sides, "archon_vectors", points)
    sides.execute("ALTER TABLE pattern_quality_metrics ADD CONSTRAINT no_beast CHECK (confidence <> 0.666)")
    sides.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.confidence = 0.777 THEN RAISE EXCEPTION 'no lucky numbers'; END IF;
            RETURN NEW;
        END $$
        """
    )
    sides.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON pattern_quality_metrics FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    result = run(sides, name)
    assert (result.scored, result.stored, result.failed) == (42, 40, 2)
    assert sorted(result.failures.values()) == [1, 1]
    assert "no lucky numbers [PAT-G-002]" in result.failures
    assert any("no_beast" in reason for reason in result.failures)
    assert "2 scores were not stored" in (result.note or "")
    assert len(stored(sides)) == 40
    [(failed, details)] = sides.execute("SELECT failed, details FROM pattern_quality_runs")
    assert (failed, details["failures"]) == (2, result.failures)
    # The payload of one is corrected; the next run tries it again. The other one keeps having no score.
    put(sides, "archon_vectors", {1: {"confidence": 0.667}})
    repeated = run(sides, name, only_missing=True)
    assert (repeated.skipped, repeated.stored, repeated.failed) == (40, 1, 1)
    assert stored(sides)[pattern_id_of(1)][1] == 0.667
    assert pattern_id_of(2) not in stored(sides)


@pytest.mark.remedy(Code.SCORES_REFUSED)
def test_a_table_that_refuses_everything_is_an_error(sides: TwoSides) -> None:
    name = put(sides, "archon_vectors", real_points(5))
    sides.execute("ALTER TABLE pattern_quality_metrics ADD CONSTRAINT never CHECK (quality_score > 2)")
    with pytest.raises(ConfigurationError, match=r"refuses every score: .*\"never\"\. Look at its constraints"):
        run(sides, name)
    assert sides.execute("SELECT status FROM pattern_quality_runs") == [("failed",)]
    assert stored(sides) == {}
    sides.execute("ALTER TABLE pattern_quality_metrics DROP CONSTRAINT never")
    assert run(sides, name).stored == 5
    assert len(stored(sides)) == 5


def test_a_synced_collection_behind_its_alias_is_scored_by_row_id(sides: TwoSides) -> None:
    patterns = rows(50)
    sides.insert(patterns)
    sides.sync("full")
    run(sides, sides.collection)
    assert stored(sides).keys() == {row["id"] for row in patterns}


CHILD = """
import asyncio, json, sys, uuid
sys.path[:0] = [{plugins!r}, {root!r}]
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.quality.backfill import backfill
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.run_identity import RunIdentity
given = json.loads(sys.argv[1])
settings = BackfillSettings((given["name"],), False, None, 0.0, 20, 0.05, False, False)
print("started", flush=True)
asyncio.run(backfill(PostgresConfig(**given["postgres"]), QdrantConfig(**given["qdrant"]), settings,
    RunIdentity(uuid.uuid4())))
"""


def test_killed_and_retried_ends_with_the_same_rows(sides: TwoSides) -> None:
    points = real_points(400)
    name = put(sides, "archon_vectors", points)
    qdrant = {key: value for key, value in asdict(sides.qdrant).items() if key != "collection"}
    given = json.dumps({"name": name, "postgres": asdict(sides.as_sync), "qdrant": qdrant})
    script = CHILD.format(plugins=str(ROOT / "plugins"), root=str(ROOT))
    child = subprocess.Popen([sys.executable, "-c", script, given], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        while sides.execute("SELECT count(*) FROM pattern_quality_metrics")[0][0] < 40:
            assert child.poll() is None
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    left = len(stored(sides))
    assert 40 <= left < 400
    result = run(sides, name, only_missing=True)
    assert (result.skipped, result.stored) == (left, 400 - left)
    assert stored(sides).keys() == {pattern_id_of(key) for key in points}
    statuses = sides.execute("SELECT status, error IS NULL FROM pattern_quality_runs ORDER BY started_at")
    assert statuses == [("abandoned", False), ("succeeded", True)]


def test_no_more_than_three_batches_are_held(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    name = put(sides, "archon_vectors", real_points(900))
    ahead: list[int] = []
    read, done = 0, 0
    original_pages = PointSource._pages

    async def counting(self: PointSource, *arguments: Any) -> Any:
        nonlocal read
        async for page in original_pages(self, *arguments):
            read += len(page)
            ahead.append(read - done)
            yield page

    original_save = ScoreStore.save

    async def saving(self: ScoreStore, scored: Sequence[Any]) -> None:
        nonlocal done
        await original_save(self, scored)
        done += len(scored)

    monkeypatch.setattr(PointSource, "_pages", counting)
    monkeypatch.setattr(ScoreStore, "save", saving)
    assert run(sides, name, batch_size=50).stored == 900
    assert max(ahead) <= 150
