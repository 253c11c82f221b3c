"""The REST API against real servers, without an API server around it: answers, bounds and errors."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from socket import socket
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.hooks.configured import Configured
from code_patterns.servers import postgres_asyncpg
from code_patterns.servers.postgres_pool import MOST_CONNECTIONS
from code_patterns.sync.sync_target import WITHOUT_NAME
from code_patterns.web import access, opened, problems, service
from code_patterns.web.app import build_app
from code_patterns.web.services import Services
from tests.conftest import config_of
from tests.support.connections import connections_of
from tests.support.faulty_qdrant import Fault, QdrantServer
from tests.support.leaks import secret
from tests.support.postgres_proxy import before
from tests.support.two_sides import TwoSides, rows


def configured(sides: TwoSides) -> Configured:
    target = sides.settings.get("target", WITHOUT_NAME)
    return Configured(sides.as_reader, sides.qdrant, sides.embedding, sides.collection, target)


class Api:
    """The app over HTTP, for a user who may read.

    :param read: gives the connections of the target without a name
    :param targets: likewise of other targets, by name
    """

    def __init__(self, read: Callable[[], Configured], **targets: Callable[[], Configured]) -> None:
        self._targets = {"": read, **targets}
        self.services = self._new()

    def _new(self) -> Services:
        return Services(lambda name: self._targets[name](), lambda: list(self._targets))

    def ask(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        async def run() -> list[httpx.Response]:
            async with self.client() as client:
                return [await client.request(method, path, **options) for method, path, options in requests]

        return asyncio.run(run())

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        app = build_app()
        app.dependency_overrides[access.MAY_READ.dependency] = lambda: None
        app.state.services = self._made
        transport = httpx.ASGITransport(app)
        self.services = self._new()
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://test/api/") as client:
                yield client
        finally:
            await self.services.close()

    async def _made(self) -> Services:
        return self.services

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.ask(("GET", path, {"params": params}))[0]


@pytest.fixture
def api(sides: TwoSides) -> Api:
    return Api(lambda: configured(sides))


@pytest.fixture
def filled(sides: TwoSides) -> list[dict[str, Any]]:
    new = rows(6, language="python")
    new[0] |= {"pattern_name": "parse_header", "pattern_data": json.dumps({"code": "def parse_header(line): return 1"})}
    new[1] |= {"language": "go", "pattern_id": "with/slashes and blanks"}
    sides.insert(new)
    sides.sync("full")
    return new


def refused(answer: httpx.Response, status: int, *words: str, field: str | None = None) -> dict[str, Any]:
    """Check a problem and return it."""
    found: dict[str, Any] = answer.json()
    assert answer.status_code == status, found
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert found["status"] == status
    assert found["title"]
    for word in words:
        assert word in found["detail"]
    assert found.get("field") == field
    return found


def test_a_search_by_url_and_by_body(api: Api, filled: list[dict[str, Any]]) -> None:
    asked = {"q": "parse the header", "language": "python", "limit": 2}
    by_url, by_body, by_field = api.ask(
        ("GET", "search", {"params": asked}),
        ("POST", "search", {"json": asked}),
        ("POST", "search", {"json": {"text": "parse the header", "limit": 2}}),
    )
    answer = by_url.json()
    assert by_url.headers["Cache-Control"] == "no-store"
    assert answer["hits"] == by_body.json()["hits"]
    assert by_field.json()["hits"][0]["id"] == answer["hits"][0]["id"]
    assert answer["mode"] == "words"
    hit = answer["hits"][0]
    assert (hit["id"], hit["pattern_name"], hit["language"]) == (str(filled[0]["id"]), "parse_header", "python")
    assert (hit["quality_score"], hit["quality_tier"]) == (None, None)
    assert hit["score"] == hit["words_score"] > 0
    assert "parse_header" in hit["matched_words"]


def test_one_pattern_and_what_is_similar(api: Api, filled: list[dict[str, Any]]) -> None:
    one, by_name, similar, no_one, not_similar = api.ask(
        ("GET", f"patterns/{filled[0]['id']}", {}),
        ("GET", "patterns/with%2Fslashes%20and%20blanks", {}),
        ("GET", f"patterns/{filled[0]['id']}/similar", {"params": {"limit": 3}}),
        ("GET", "patterns/none", {}),
        ("GET", "patterns/none/similar", {}),
    )
    assert one.json()["pattern_name"] == "parse_header"
    assert by_name.json()["id"] == str(filled[1]["id"])
    assert len(similar.json()["hits"]) == 3
    assert str(filled[0]["id"]) not in {hit["id"] for hit in similar.json()["hits"]}
    refused(no_one, 404, "'none'")
    refused(not_similar, 404, "'none'", field="similar_to")


BOUNDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("search", {"q": "x", "limit": 101}, "limit", "from 1 to 100"),
    ("search", {"q": "x", "limit": "many"}, "limit", "from 1 to 100"),
    ("search", {"q": "x", "offset": 1001}, "offset", "from 0 to 1000"),
    ("search", {"q": "x" * 20_001}, "text", "20,000"),
    ("search", {"q": "x", "min_quality": 2}, "min_quality", "1"),
    ("search", {"q": "x", "mode": "magic"}, "mode", "hybrid"),
    ("search", {"q": "x", "sort": "name"}, "sort", "Known are text"),
    ("search", {"q": "x", "text": "y"}, "q", "same field"),
    ("runs", {"limit": 101}, "limit", "from 1 to 100"),
    ("runs", {"limit": "1_0"}, "limit", "from 1 to 100"),
    ("runs", {"order": "name"}, "order", "limit, offset, kind"),
    ("failures", {"limit": 501}, "limit", "from 1 to 500"),
    ("failures", {"offset": -1}, "offset", "from 0 to 100,000"),
    ("status", {"targt": "x"}, "targt", "Known are target"),
    ("quality", {"limit": 3}, "limit", "Known are target"),
    ("metrics", {"collection": "x"}, "collection", "Known are target"),
    ("patterns/none", {"limit": 3}, "limit", "Known are target"),
]


def test_every_bound_is_named(api: Api) -> None:
    answers = api.ask(*(("GET", path, {"params": params}) for path, params, _, _ in BOUNDS))
    for answer, (_, _, field, said) in zip(answers, BOUNDS, strict=True):
        refused(answer, 400, said, field=field)


def test_a_body_that_is_no_object_or_too_large_is_refused(api: Api) -> None:
    bodies = [b"", b"[1]", b"{", b'"x"', json.dumps({"q": "x" * 300_000}).encode()]
    *wrong, large = api.ask(*(("POST", "search", {"content": body}) for body in bodies))
    for answer in wrong:
        refused(answer, 400, "JSON object")
    refused(large, 413, "262,144 bytes")


def test_a_target_in_the_body_is_not_taken_for_none(api: Api) -> None:
    """Otherwise the target without a name would answer."""
    by_body, by_both, beside = api.ask(
        ("POST", "search", {"json": {"q": "x", "target": "go"}}),
        ("POST", "search?target=", {"json": {"q": "x", "target": "go"}}),
        ("POST", "search?limit=3", {"json": {"q": "x"}}),
    )
    for answer in (by_body, by_both):
        refused(answer, 400, "stands in the address", field="target")
    refused(beside, 400, "no parameter 'limit'", field="limit")


def test_names_that_no_pattern_and_no_run_can_have(api: Api, filled: list[dict[str, Any]]) -> None:
    pattern, runs = api.ask(("GET", "patterns/a%00b", {}), ("GET", "runs?kind=a%00b", {}))
    refused(pattern, 404, "There is no pattern")
    assert runs.json() == {"runs": []}


def test_a_pattern_whose_own_name_ends_like_a_route(api: Api, sides: TwoSides, filled: list[dict[str, Any]]) -> None:
    [named] = rows(1, 20, pattern_id="net/similar")
    sides.insert([named, *rows(1, 21, pattern_id="net")])
    sides.sync()
    own, relatives, of_named = api.ask(
        ("GET", "patterns/net%2Fsimilar", {}),
        ("GET", "patterns/net/similar", {}),
        ("GET", "patterns/net%2Fsimilar/similar", {}),
    )
    assert own.json()["id"] == str(named["id"])
    assert str(named["id"]) in {hit["id"] for hit in relatives.json()["hits"]}
    assert str(named["id"]) not in {hit["id"] for hit in of_named.json()["hits"]}


def test_a_path_or_method_that_does_not_exist(api: Api) -> None:
    nowhere, wrong = api.ask(("GET", "nowhere", {}), ("DELETE", "search", {}))
    refused(nowhere, 404)
    refused(wrong, 405)


def test_the_status_of_a_life(api: Api, sides: TwoSides) -> None:
    found = api.get("status").json()
    assert found["sync"]["state"] == "never synced"
    assert found["collection"] == {"name": sides.collection, "collection": None}

    good, bad = rows(4), rows(1, 4, pattern_data=json.dumps({"code": 5}))
    sides.insert(good + bad)
    sides.sync("full")
    sides.settle()
    status, failures, runs = api.ask(("GET", "status", {}), ("GET", "failures", {}), ("GET", "runs?kind=full", {}))
    sync, collection = status.json()["sync"], status.json()["collection"]
    assert (sync["state"], sync["behind"], sync["lag_seconds"], sync["dead_letters"]) == ("in sync", 0, 0, 1)
    assert sync["watermark"]["xid"] <= sync["now"]["xid"]
    assert (sync["parity"]["state"], sync["stream_is_up"]) == ("proven", False)
    assert sync["parity"]["proven_at"] == sync["parity"]["at"] == sync["last_full_at"]
    assert collection["is_alias"]
    assert collection["collection"].startswith(f"{sides.collection}__")
    assert (collection["points"], collection["dimension"], collection["words"]) == (4, 64, True)
    assert (collection["model"], collection["vector_bytes"]) == ("hashing-v1", 4 * 64 * 4)
    [failure] = failures.json()["failures"]
    assert (failure["id"], failure["stage"], failure["attempts"]) == (str(bad[0]["id"]), "read", 1)
    assert "must be a text" in failure["error"]
    assert failure["pattern_name"] == bad[0]["pattern_name"]
    [run] = runs.json()["runs"]
    assert (run["kind"], run["status"], run["new"], run["parked"], run["dag_id"]) == ("full", "succeeded", 4, 1, "dag")

    sides.insert(rows(2, 5))
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", (good[0]["id"],))
    sync = api.get("status").json()["sync"]
    assert (sync["state"], sync["behind"], sync["behind_is_more"]) == ("behind", 3, False)
    assert sync["lag_seconds"] > 0
    # An hourly run proves nothing; the last proof is still that of the full sync.
    sides.sync("incremental")
    sides.settle()
    sync = api.get("status").json()["sync"]
    assert (sync["state"], sync["parity"]["state"]) == ("in sync", "proven")

    sides.execute("UPDATE pattern_sync_checkpoints SET watermark_xid = NULL")
    assert api.get("status").json()["sync"]["state"] == "full sync needed"


def test_a_stream_that_is_up_is_seen(api: Api, sides: TwoSides) -> None:
    from code_patterns.servers.locks import LockedSession
    from code_patterns.sync.run_locks import stream_sign

    async def look() -> Any:
        async with LockedSession.open(sides.as_sync) as session:
            await session.take(stream_sign(sides.collection, None))
            return await asyncio.to_thread(api.get, "status")

    assert asyncio.run(look()).json()["sync"]["stream_is_up"]


def test_metrics_as_prometheus_reads_them(api: Api, sides: TwoSides, filled: list[dict[str, Any]]) -> None:
    sides.insert(rows(1, 20))
    answer = api.get("metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(set(families)) == len(families)
    assert {name.partition("{")[0] for name in samples} == set(families)
    label = f'{{collection="{sides.collection}"}}'
    assert samples[f"code_patterns_behind_changes{label}"] == "1"
    assert samples[f"code_patterns_in_sync{label}"] == "0"
    assert samples[f"code_patterns_points{label}"] == "6"
    assert float(samples[f"code_patterns_last_full_timestamp_seconds{label}"]) > 1.7e9
    # There was no such run: 0 would be a time.
    assert f"code_patterns_last_incremental_timestamp_seconds{label}" not in samples
    of_full = f'{{collection="{sides.collection}",kind="full"'
    assert samples[f'code_patterns_recent_runs{of_full},outcome="succeeded"}}'] == "1"
    assert samples[f'code_patterns_recent_runs{of_full},outcome="failed"}}'] == "0"
    assert samples[f"code_patterns_last_run_failed{of_full}}}"] == "0"
    assert samples[f'code_patterns_recent_rows{of_full},outcome="new"}}'] == "6"
    assert float(samples[f"code_patterns_recent_embedded_characters{of_full}}}"]) > 100
    assert all(
        float(samples[f'code_patterns_recent_stage_seconds{of_full},stage="{stage}"}}']) > 0
        for stage in ("read", "embed", "upsert", "prove")
    )


def test_metrics_tell_of_failed_and_killed_runs_and_of_the_newest_stream(
    api: Api, sides: TwoSides, filled: list[dict[str, Any]]
) -> None:
    sides.execute(
        "INSERT INTO pattern_sync_runs (name, collection, kind, status, started_at, finished_at, latency_p50, "
        "latency_p99) VALUES "
        "(%(name)s, 'x', 'full', 'failed', now(), now() + interval '1 minute', NULL, NULL), "
        "(%(name)s, 'x', 'stream', 'abandoned', now() - interval '9 hours', now() - interval '2 hours', 1, 2), "
        "(%(name)s, 'x', 'stream', 'succeeded', now() - interval '1 hour', now(), 3, 4), "
        "(%(name)s, 'x', 'stream', 'running', now(), NULL, NULL, NULL), "
        "(%(name)s, 'x', 'incremental', 'stopped', now(), now(), NULL, NULL), "
        "(%(name)s, 'x', 'verify', 'failed', now() - interval '25 hours', now() - interval '25 hours', NULL, NULL), "
        "('another', 'x', 'interval', 'failed', now(), now(), NULL, NULL)",
        {"name": sides.collection},
    )
    samples = dict(line.rsplit(" ", 1) for line in api.get("metrics").text.splitlines() if not line.startswith("#"))
    label = f'collection="{sides.collection}"'
    assert samples[f'code_patterns_last_run_failed{{{label},kind="full"}}'] == "1"
    assert samples[f'code_patterns_last_run_failed{{{label},kind="stream"}}'] == "0"
    assert samples[f'code_patterns_last_run_failed{{{label},kind="incremental"}}'] == "0"
    assert samples[f'code_patterns_recent_runs{{{label},kind="stream",outcome="abandoned"}}'] == "1"
    assert samples[f'code_patterns_recent_runs{{{label},kind="stream",outcome="running"}}'] == "1"
    assert samples[f'code_patterns_stream_latency_seconds{{{label},share="0.99"}}'] == "4"
    assert not any('kind="verify"' in name or 'kind="interval"' in name for name in samples)


def test_while_a_successor_is_built_the_state_is_that_of_what_readers_see(api: Api, sides: TwoSides) -> None:
    [bad] = rows(1, 90, pattern_data=json.dumps({"code": 5}))
    sides.insert([*rows(80), bad])
    sides.sync("full")
    before = api.get("status").json()["sync"]
    sides.with_embedding(dimension=96).sync("full", limit=20)
    status, failures = api.ask(("GET", "status", {}), ("GET", "failures", {}))
    found = status.json()["sync"]
    assert (found["state"], found["watermark"], found["dead_letters"]) == ("in sync", before["watermark"], 1)
    assert [row["id"] for row in failures.json()["failures"]] == [str(bad["id"])]


def test_quality_by_tier_and_language(api: Api, sides: TwoSides, filled: list[dict[str, Any]]) -> None:
    assert api.get("quality").json()["average"] is None
    scores = [0.95, 0.9, 0.7, 0.5, 0.1]
    for row, score in zip(filled, scores, strict=False):
        sides.execute(
            "INSERT INTO pattern_quality_metrics (pattern_id, quality_score) VALUES (%s, %s)", (row["id"], score)
        )
    sides.execute(
        "INSERT INTO pattern_quality_runs (status, version, collections, finished_at, scored, good, average_score) "
        "VALUES ('succeeded', '2', '{}', now(), 3, 3, 0.8), ('failed', '2', '{}', now(), 3, 3, 0.1)"
    )
    found = api.get("quality").json()
    assert {row["tier"]: row["patterns"] for row in found["tiers"]} == {"excellent": 2, "good": 1, "fair": 1, "poor": 1}
    assert (found["patterns"], found["scored"]) == (6, 5)
    assert found["average"] == pytest.approx(sum(scores) / 5)
    python, go = found["languages"]
    assert (python["language"], python["patterns"], python["excellent"]) == ("python", 5, 1)
    assert (go["language"], go["patterns"], go["excellent"]) == ("go", 1, 1)
    assert [row["quality_score"] for row in found["best"]] == scores
    assert [row["quality_score"] for row in found["worst"]] == scores[::-1]
    assert (found["best"][0]["id"], found["best"][0]["quality_tier"]) == (str(filled[0]["id"]), "excellent")
    assert [run["average_score"] for run in found["runs"]] == [0.8]


def test_scores_of_an_older_table_are_numbers(api: Api, sides: TwoSides, filled: list[dict[str, Any]]) -> None:
    """Earlier installations have the columns as numeric."""
    sides.execute("DROP VIEW v_quality_distribution, v_quality_worst_patterns CASCADE")
    for column in ("quality_score", "confidence"):
        sides.execute(f"ALTER TABLE pattern_quality_metrics ALTER {column} TYPE numeric(3, 2)")
    statement = "INSERT INTO pattern_quality_metrics (pattern_id, quality_score, confidence) VALUES (%s, 0.81, 0.5)"
    sides.execute(statement, (filled[0]["id"],))
    search, quality = api.ask(("GET", "search?q=parse_header", {}), ("GET", "quality", {}))
    hit = search.json()["hits"][0]
    assert (hit["quality_score"], hit["quality_tier"], hit["confidence"]) == (0.81, "good", 0.5)
    assert quality.json()["average"] == 0.81


def test_a_score_that_is_no_number_is_none(api: Api, sides: TwoSides, filled: list[dict[str, Any]]) -> None:
    for row, score in zip(filled, ("NaN", "Infinity", "-Infinity", 0.5), strict=False):
        sides.execute(
            "INSERT INTO pattern_quality_metrics (pattern_id, quality_score) VALUES (%s, %s)", (row["id"], score)
        )
    found = api.get("quality").json()
    assert (found["scored"], found["average"], len(found["best"]), len(found["worst"])) == (1, 0.5, 1, 1)


def test_a_language_and_a_project_are_found_as_they_are_shown(api: Api, sides: TwoSides) -> None:
    inside = json.dumps({"code": "fn one() -> i32 { 1 }", "language": "rust"})
    sides.insert(
        [
            *rows(1, language=None, pattern_data=inside, metadata=json.dumps({"project_id": 42})),
            *rows(1, 1, metadata=json.dumps({"project_id": "42"})),
            *rows(1, 2, metadata=json.dumps({"project_id": 420})),
        ]
    )
    sides.sync("full")
    quality, rust, project = api.ask(
        ("GET", "quality", {}), ("GET", "search?language=rust", {}), ("GET", "search?project=42", {})
    )
    assert "rust" in {each["language"] for each in quality.json()["languages"]}
    assert [hit["language"] for hit in rust.json()["hits"]] == ["rust"]
    assert [hit["project"] for hit in project.json()["hits"]] == ["42", "42"]


def test_an_outage_of_postgresql_is_told_without_secrets(sides: TwoSides) -> None:
    password = secret("a password of the page")
    away = replace(sides.postgres, host="127.0.0.1", port=1, password=password)
    answer = Api(lambda: replace(configured(sides), postgres=away)).get("status")
    refused(answer, 503, "127.0.0.1:1")
    assert answer.headers["Retry-After"] == "5"
    assert password not in answer.text


def test_an_outage_of_qdrant_leaves_what_postgresql_knows(sides: TwoSides, filled: list[dict[str, Any]]) -> None:
    away = replace(sides.qdrant, path="", url="http://127.0.0.1:1")
    api = Api(lambda: replace(configured(sides), qdrant=away))
    status, metrics, search = api.ask(("GET", "status", {}), ("GET", "metrics", {}), ("GET", "search?q=x", {}))
    assert status.json()["sync"]["parity"]["state"] == "proven"
    assert "cannot connect" in status.json()["collection"]["error"]
    assert "code_patterns_qdrant_up" in metrics.text
    assert f'code_patterns_points{{collection="{sides.collection}"}}' not in metrics.text
    refused(search, 503, "cannot connect")


def test_a_collection_that_is_gone_is_neither_in_sync_nor_unknown(
    api: Api, sides: TwoSides, filled: list[dict[str, Any]]
) -> None:
    label = f'{{collection="{sides.collection}"}}'
    before_it, _ = api.ask(("GET", "metrics", {}), ("GET", "status", {}))
    assert f"code_patterns_points{label} {len(filled)}\n" in before_it.text

    async def drop(client: Any) -> None:
        for item in (await client.get_aliases()).aliases:
            await client.delete_collection(item.collection_name)

    sides.with_client(drop)
    metrics, status = api.ask(("GET", "metrics", {}), ("GET", "status", {}))
    for sample in ("points{} 0", "in_sync{} 0", "full_sync_needed{} 1", "qdrant_up{} 1"):
        assert f"code_patterns_{sample.replace('{}', label)}\n" in metrics.text
    assert status.json()["sync"]["state"] == "full sync needed"
    assert status.json()["collection"] == {"name": sides.collection, "collection": None}


def test_a_qdrant_that_hangs_leaves_the_rest(
    sides: TwoSides, filled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WAIT_SECONDS", 0.2)
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hanging = replace(sides.qdrant, path="", url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        api = Api(lambda: replace(configured(sides), qdrant=hanging))
        metrics, status = api.ask(("GET", "metrics", {}), ("GET", "status", {}))
    text, told = metrics.text, status.json()
    assert told["sync"]["state"] == "in sync"
    assert "did not answer" in told["collection"]["error"]
    label = f'{{collection="{sides.collection}"}}'
    assert f"code_patterns_qdrant_up{label} 0" in text
    assert f"code_patterns_in_sync{label} 1" in text


def test_a_postgresql_that_hangs_is_named_in_time(
    sides: TwoSides, filled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "DATABASE_SECONDS", 3.0)
    monkeypatch.setattr(problems, "LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(service, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(postgres_asyncpg, "FAREWELL_SECONDS", 0.1)
    with before(sides.as_reader) as proxy:
        hanging = replace(sides.as_reader, host="127.0.0.1", port=proxy.port)
        api = Api(lambda: replace(configured(sides), postgres=hanging))

        async def run() -> list[list[httpx.Response]]:
            async with api.client() as client:
                answers = []
                for path, awake in (("runs", True), ("metrics", False), ("runs", False)):
                    (proxy.awake.set if awake else proxy.awake.clear)()
                    # More than the pool has sessions.
                    answers.append(await asyncio.gather(*(client.get(path) for _ in range(MOST_CONNECTIONS + 2))))
                answers.append([await client.get("search?q=x")])
                proxy.awake.set()
                return [*answers, [await client.get("runs")]]

        first, metrics, runs, searches, last = asyncio.run(run())
    assert {answer.status_code for answer in (*first, *metrics, *last)} == {200}
    for answer in metrics:
        assert f'code_patterns_postgres_up{{collection="{sides.collection}"}} 0' in answer.text
    for answer in (*runs, *searches):
        assert refused(answer, 503, "PostgreSQL at connection 'patterns_postgres'")["code"] == Code.POSTGRES_BUSY


def test_an_embedded_storage_that_is_in_use_is_told_as_busy(
    api: Api, sides: TwoSides, filled: list[dict[str, Any]]
) -> None:
    if not sides.qdrant.path:
        pytest.skip("a server serves many")

    async def search(_: Any) -> httpx.Response:
        return await asyncio.to_thread(api.get, "search", q="x")

    refused(sides.with_client(search), 503, "in use by another process")


def test_what_a_person_must_change_is_told(empty_database: str, sides: TwoSides) -> None:
    def missing() -> Configured:
        raise ConfigurationError(Code.CONNECTION_MISSING, "Connection 'patterns_qdrant' is not defined.")

    refused(Api(missing).get("status"), 500, "'patterns_qdrant' is not defined")
    not_migrated = replace(configured(sides), postgres=config_of(empty_database))
    refused(Api(lambda: not_migrated).get("runs"), 500, "schema_migration")


def test_what_nobody_expected_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Configured:
        raise KeyError("a detail of the program")

    detail = refused(Api(broken).get("status"), 500)["detail"]
    assert "a detail of the program" not in detail
    assert "a detail of the program" in caplog.text


def test_a_request_that_takes_too_long_names_the_limit(
    sides: TwoSides, qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "LONGEST_SECONDS", 0.3)
    slow = replace(sides.qdrant, path="", url=qdrant_server.url)
    qdrant_server.always["read"] = Fault(delay=2.0)
    refused(Api(lambda: replace(configured(sides), qdrant=slow)).get("status"), 408, "limit of 0 s")


def tool_call(name: str, **arguments: Any) -> dict[str, Any]:
    """The request of an agent, as options of the client."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    return {"json": call, "headers": {"Accept": "application/json, text/event-stream"}}


def test_agents_have_the_limits_of_all_routes(
    api: Api,
    sides: TwoSides,
    filled: list[dict[str, Any]],
    qdrant_server: QdrantServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(problems, "LONGEST_SECONDS", 60.0)
    found, large = api.ask(
        ("POST", "../mcp", tool_call("search_patterns", text="parse the header")),
        ("POST", "../mcp", tool_call("search_patterns", text="x" * 300_000)),
    )
    assert (found.status_code, found.headers["Content-Type"]) == (200, "application/json")
    assert found.json()["result"]["structuredContent"]["hits"][0]["id"] == str(filled[0]["id"])
    refused(large, 413, "262,144 bytes")
    monkeypatch.setattr(problems, "LONGEST_SECONDS", 0.3)
    slow = replace(sides.qdrant, path="", url=qdrant_server.url)
    qdrant_server.always["read"] = Fault(delay=2.0)
    late = Api(lambda: replace(configured(sides), qdrant=slow))
    [answer] = late.ask(("POST", "../mcp", tool_call("search_patterns", text="parse")))
    refused(answer, 408, "limit of 0 s")


def sessions(sides: TwoSides) -> int:
    """The sessions of searches and questions in this test's database."""
    [(number,)] = sides.execute(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'code_patterns search' AND datname = current_database()"
    )
    return int(number)


def test_changed_connections_are_used_and_the_old_ones_closed(
    sides: TwoSides, filled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REREAD_SECONDS", -1.0)
    first = configured(sides)
    answers = iter([first, first, replace(first, collection="another")])

    async def run() -> tuple[list[Any], int]:
        asked = Services(lambda _: next(answers), lambda: [""])
        found = []
        for _ in range(3):
            found.append((await (await asked.of("")).status())["collection"]["name"])
        open_now = await asyncio.to_thread(sessions, sides)
        await asked.close()
        return found, open_now

    found, open_now = asyncio.run(run())
    assert found == [sides.collection, sides.collection, "another"]
    assert open_now == 1


def test_one_pool_for_all_requests_that_is_closed_at_the_end(
    sides: TwoSides, filled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in connections_of(sides).items():
        monkeypatch.setenv(name, value)
    app = build_app()
    app.dependency_overrides[access.MAY_READ.dependency] = lambda: None
    with TestClient(app) as client:
        for path in ("status", "search?q=header", "quality", "search?q=x"):
            assert client.get(f"/api/{path}").status_code == 200
        # Questions that are asked at the same time may use several sessions.
        assert 1 <= sessions(sides) <= MOST_CONNECTIONS
    deadline = time.monotonic() + 30
    while sessions(sides):
        assert time.monotonic() < deadline
        time.sleep(0.02)
