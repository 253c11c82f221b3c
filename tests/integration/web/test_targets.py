"""The page's API for several targets: each shows its own, one that fails leaves the others, and they share sessions."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.hooks.configured import Configured
from code_patterns.servers.postgres_pool import MOST_CONNECTIONS
from code_patterns.sync.row_filter import RowFilter
from code_patterns.sync.sync_target import SyncTarget
from code_patterns.web import access, opened, service
from code_patterns.web.app import build_app
from code_patterns.web.problems import RefusedError
from code_patterns.web.services import Services
from tests.conftest import config_of
from tests.integration.web.test_api import Api, configured, refused, sessions
from tests.support.running_stream import eventually, running_stream
from tests.support.two_qdrants import namesakes
from tests.support.two_sides import TwoSides, rows

GO = RowFilter(languages=("go",))
CORE = RowFilter(projects=("core",), paths=("lib/",))


def of_target(sides: TwoSides, name: str, wanted: RowFilter) -> TwoSides:
    return replace(sides, collection=f"{sides.collection}_{name}", settings={"target": SyncTarget(name, wanted)})


@pytest.fixture
def api(sides: TwoSides) -> Api:
    """A target without a name that was never synced, one of Go, and one of a project and a path."""
    inside = rows(3, 10, language="go", file_path="lib/x.go", metadata='{"project_id": "core"}')
    sides.insert([*rows(5), *rows(2, 20, language="go"), *inside])
    go, core = of_target(sides, "go", GO), of_target(sides, "core", CORE)
    for target in (go, core):
        target.sync("full")
    sides.execute(
        "INSERT INTO pattern_quality_metrics (pattern_id, quality_score) SELECT id, 0.8 FROM pattern_lineage_nodes"
    )
    return Api(partial(configured, sides), go=partial(configured, go), core=partial(configured, core))


def samples(api: Api, **params: str) -> dict[str, str]:
    lines = api.get("metrics", **params).text.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_each_target_shows_what_it_has(api: Api, sides: TwoSides) -> None:
    [go] = sides.execute(
        "SELECT id::text FROM pattern_lineage_nodes WHERE pattern_name = %s", (rows(1, 20)[0]["pattern_name"],)
    )
    for target, points, runs in (("go", 5, 1), ("core", 3, 1)):
        found, status, listed, quality, one = api.ask(
            ("GET", "search", {"params": {"target": target, "language": "go", "limit": 50}}),
            ("GET", "status", {"params": {"target": target}}),
            ("GET", "runs", {"params": {"target": target, "limit": 5}}),
            ("GET", "quality", {"params": {"target": target}}),
            ("GET", f"patterns/{go[0]}", {"params": {"target": target}}),
        )
        assert len(found.json()["hits"]) == points
        assert status.json()["collection"]["name"] == f"{sides.collection}_{target}"
        assert status.json()["sync"]["parity"]["state"] == "proven"
        assert len(listed.json()["runs"]) == runs
        # A reader of this target must not see names of other rows of the database.
        assert quality.json()["patterns"] == quality.json()["scored"] == points
        assert len(quality.json()["best"]) == points
        assert one.status_code == (200 if target == "go" else 404)

    by_body = api.ask(("POST", "search?target=core", {"json": {"language": "go", "limit": 50}}))[0]
    assert len(by_body.json()["hits"]) == 3
    status, quality = api.ask(("GET", "status", {}), ("GET", "quality", {}))
    assert status.json()["sync"]["state"] == "never synced"
    assert quality.json()["patterns"] == 10


@pytest.mark.parametrize("name", ["team_b", "../x", "a b", "x" * 51, "\0"])
def test_a_target_that_does_not_exist_is_told(api: Api, name: str) -> None:
    for path in ("search", "status", "metrics"):
        refused(api.get(path, target=name), 404, "target", field="target")


def test_the_metrics_have_all_targets(api: Api, sides: TwoSides) -> None:
    found = samples(api)
    for target, points in (("go", 5), ("core", 3)):
        labels = f'{{target="{target}",collection="{sides.collection}_{target}"'
        assert found[f"code_patterns_points{labels}}}"] == str(points)
        assert found[f"code_patterns_postgres_up{labels}}}"] == "1"
        assert found[f'code_patterns_recent_runs{labels},kind="full",outcome="succeeded"}}'] == "1"
    assert found[f'code_patterns_full_sync_needed{{collection="{sides.collection}"}}'] == "1"
    assert {name for name in samples(api, target="go") if "points" in name} == {
        f'code_patterns_points{{target="go",collection="{sides.collection}_go"}}'
    }


def test_a_target_whose_servers_fail_leaves_the_metrics_of_the_others(
    sides: TwoSides, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WAIT_SECONDS", 2.0)
    right = partial(configured, of_target(sides, "go", GO))

    def missing() -> Configured:
        raise ConfigurationError(Code.CONNECTION_MISSING, "Connection 'team_b' is not defined.")

    def away() -> Configured:
        return replace(right(), postgres=replace(sides.as_reader, host="127.0.0.1", port=1))

    found = samples(Api(missing, go=right, missing=missing, away=away))
    collection = f"{sides.collection}_go"
    assert found[f'code_patterns_in_sync{{target="go",collection="{collection}"}}'] == "1"
    assert found['code_patterns_postgres_up{target="missing"}'] == "0"
    assert found[f'code_patterns_postgres_up{{target="away",collection="{collection}"}}'] == "0"
    assert found[f'code_patterns_points{{target="away",collection="{collection}"}}'] == "5"
    # Who has targets with names may have no other one.
    assert len([name for name in found if name.startswith("code_patterns_postgres_up")]) == 3
    refused(Api(missing).get("metrics"), 500, "'team_b' is not defined")


def test_what_is_missing_is_made_by_the_targets_own_dags(sides: TwoSides, empty_database: str) -> None:
    target = SyncTarget("b", migration="schema_migration__b_postgres")
    unsynced = replace(configured(sides), target=target)
    api = Api(lambda: unsynced, new=lambda: replace(unsynced, postgres=config_of(empty_database)))
    refused(api.get("search", q="parse"), 500, "Run pattern_sync_full__b, ", "the key 'collection' of the target 'b'")
    refused(api.get("runs", target="new"), 500, "Run schema_migration__b_postgres first.")


def test_targets_of_one_database_share_its_sessions_and_one_that_is_gone_leaves_none(sides: TwoSides, api: Api) -> None:
    names = ["", *(f"t{number}" for number in range(20))]
    found = configured(sides)

    async def run() -> list[int]:
        services = Services(lambda name: replace(found, collection=f"{sides.collection}{name}"), lambda: names)
        counts = []
        try:
            for _ in range(2):
                await services.metrics()
                counts.append(await asyncio.to_thread(sessions, sides))
            del names[1:]
            await services.metrics()
            with pytest.raises(Exception, match="no target 't1'"):
                await services.of("t1")
            counts.append(await asyncio.to_thread(sessions, sides))
        finally:
            await services.close()
        return counts

    counts = asyncio.run(run())
    assert all(1 <= count <= MOST_CONNECTIONS for count in counts)
    assert sessions(sides) == 0


TOLD = ("status", "failures", "runs")


def told(api: Api, target: str) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """The state of the sync, the names of the rows that are parked, and the runs."""
    status, failures, runs = api.ask(*(("GET", path, {"params": {"target": target}}) for path in TOLD))
    parked = [row["pattern_name"] for row in failures.json()["failures"]]
    return status.json()["sync"], parked, runs.json()["runs"]


@pytest.mark.parametrize("synced", ["", "a"])
def test_a_target_is_told_nothing_of_another_whose_collection_has_the_same_name(
    sides: TwoSides, tmp_path: Path, synced: str
) -> None:
    [bad] = rows(1, 4, pattern_data=json.dumps({"code": 5}))
    sides.insert([*rows(4), bad])
    a, b = namesakes(sides, tmp_path)
    first = a if synced else replace(a, settings={})
    first.sync("full")
    first.settle()
    away = replace(b, qdrant=replace(b.qdrant, path="", url="http://127.0.0.1:1"))
    targets = {"a": a, "b": b, "away": away}
    api = Api(partial(configured, sides), **{name: partial(configured, target) for name, target in targets.items()})

    sync, parked, runs = told(api, synced)
    assert (sync["state"], sync["dead_letters"], sync["parity"]["state"]) == ("in sync", 1, "proven")
    assert parked == [bad["pattern_name"]]
    assert [run["kind"] for run in runs] == ["full"]
    found = samples(api)
    # Whether its own Qdrant answers makes no difference.
    for target in {"", "a", "b", "away"} - {synced}:
        sync, parked, runs = told(api, target)
        assert (sync["state"], sync["dead_letters"], sync["watermark"]["xid"]) == ("never synced", 0, None)
        assert (sync["parity"]["state"], sync["parity"]["proven_at"], sync["last_full_at"]) == (None, None, None)
        assert (parked, runs) == ([], [])
        labels = (f'target="{target}",' if target else "") + f'collection="{sides.collection}"'
        assert found[f"code_patterns_in_sync{{{labels}}}"] == "0"
        assert not [name for name in found if f"{{{labels}" in name and ("recent" in name or "parity_proven_" in name)]


def test_targets_with_one_name_in_two_qdrants_are_each_as_far_as_they_are(sides: TwoSides, tmp_path: Path) -> None:
    sides.insert(rows(4))
    a, b = namesakes(sides, tmp_path)
    api = Api(partial(configured, sides), a=partial(configured, a), b=partial(configured, b))
    a.sync("full")
    b.sync("full")
    sides.insert(rows(2, 10))
    for newest, other, kinds in ((a, "b", ["full"]), (b, "a", ["incremental", "full"])):
        newest.sync()
        sides.settle()
        name = newest.settings["target"].name
        states = {target: told(api, target)[0] for target in (name, other)}
        assert states[name]["state"] == "in sync"
        assert states[name]["last_incremental_at"]
        assert states[other]["behind"] == (2 if other == "b" else 0)
        assert [run["kind"] for run in told(api, other)[2]] == kinds
    assert told(api, "a")[0]["watermark"] != told(api, "b")[0]["watermark"]


def test_a_stream_is_up_for_its_own_target_alone(served: TwoSides, tmp_path: Path) -> None:
    served.insert(rows(2))
    a, b = namesakes(served, tmp_path)
    a.sync("full")
    api = Api(partial(configured, served), a=partial(configured, a), b=partial(configured, b))
    with running_stream(a):
        eventually(lambda: told(api, "a")[0]["stream_is_up"])
        assert not told(api, "b")[0]["stream_is_up"]
        assert not told(api, "")[0]["stream_is_up"]


@pytest.mark.parametrize("asked", ["status", "metrics"])
def test_a_target_that_goes_while_it_connects_is_told_and_opens_nothing(sides: TwoSides, asked: str) -> None:
    names = ["", "a"]
    found = configured(sides)
    reading, go_on = threading.Event(), threading.Event()

    def read(name: str) -> Configured:
        if name:
            reading.set()
            assert go_on.wait(30)
        return replace(found, collection=f"{sides.collection}{name}")

    async def ask(services: Services) -> str:
        return await services.metrics() if asked == "metrics" else str(await (await services.of("a")).status())

    async def run() -> str:
        services = Services(read, lambda: list(names))
        try:
            answer = asyncio.create_task(ask(services))
            assert await asyncio.to_thread(reading.wait, 30)
            names.remove("a")
            await services.targets()
            go_on.set()
            return await answer
        finally:
            await services.close()
            assert await asyncio.to_thread(sessions, sides) == 0

    if asked == "metrics":
        # One that is gone leaves the others.
        assert 'target="a"' not in asyncio.run(run())
    else:
        with pytest.raises(RefusedError, match="no target 'a' in the targets file") as refusal:
            asyncio.run(run())
        assert (refusal.value.status, refusal.value.field) == (404, "target")


def test_a_service_that_is_closed_between_two_connections_opens_no_other(
    sides: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection was changed, and the old one is being closed."""
    monkeypatch.setattr(service, "REREAD_SECONDS", -1.0)
    found = configured(sides)
    answers = iter([found, replace(found, collection="another")])
    retire = opened.Opened.retire

    async def run() -> None:
        services = Services(lambda _: next(answers), lambda: [""])
        one = await services.of("")
        await one.status()

        async def retire_slowly(old: opened.Opened) -> None:
            monkeypatch.setattr(opened.Opened, "retire", retire)
            await services.close()
            await retire(old)

        monkeypatch.setattr(opened.Opened, "retire", retire_slowly)
        with pytest.raises(RefusedError):
            await one.status()
        assert await asyncio.to_thread(sessions, sides) == 0

    asyncio.run(run())


class Made:
    """The services of an app, made already."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.close = services.close

    async def __call__(self) -> Services:
        return self._services


def app_for(somebody: set[str], services: Services, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The app as Airflow guards it for a user.

    :param somebody: DAGs that the user may read
    """

    def requires(*, method: str, param_dag_id: str) -> Callable[[Any, Any], None]:
        def inner(_: Any, user: Any) -> None:
            assert (method, user) == ("GET", "somebody")
            if param_dag_id not in somebody:
                raise HTTPException(403, "Forbidden")

        return inner

    monkeypatch.setattr(access, "requires_access_dag", requires)
    app = build_app()
    app.dependency_overrides[get_user] = lambda: "somebody"
    app.state.services = Made(services)
    return app


@pytest.mark.parametrize(
    ("may_read", "listed", "answers"),
    [
        ({"pattern_sync_full__go"}, ["go"], {"": 403, "go": 200, "core": 403, "none": 403}),
        ({"pattern_sync_full"}, [""], {"": 200, "go": 403, "core": 403, "none": 403}),
        ({"pattern_sync_full", "pattern_sync_full__none"}, [""], {"": 200, "go": 403, "none": 404}),
        (set(), [], {"": 403, "go": 403}),
    ],
)
def test_who_may_read_a_target_is_who_may_read_its_dag(
    api: Api, monkeypatch: pytest.MonkeyPatch, may_read: set[str], listed: list[str], answers: dict[str, int]
) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    with TestClient(app_for(may_read, api.services, monkeypatch)) as client:
        assert client.get("/api/targets").json() == {"targets": listed}
        # Everywhere the last one counts, so that nobody is asked about one target and shown another.
        assert client.get("/api/runs?target=core&target=go").status_code == answers["go"]
        for target, status in answers.items():
            for path in ("status?", "runs?limit=5&", "quality?"):
                assert client.get(f"/api/{path}target={target}").status_code == status
            accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
            assert client.post(f"/mcp?target={target}", content=body, headers=accept).status_code == status


def test_runs_of_the_quality_backfill_name_no_target_that_is_not_asked_for(sides: TwoSides) -> None:
    sides.sync("full", allow_mass_delete=True)
    for dag_id in ("quality_backfill", "quality_backfill__go", "quality_backfill__secret", "my_scores", None):
        sides.execute(
            "INSERT INTO pattern_quality_runs (status, version, collections, finished_at, scored, dag_id, dag_run_id) "
            "VALUES ('succeeded', '2', '{x}', now(), 5, %s, %s)",
            (dag_id, dag_id and "manual"),
        )
    api = Api(partial(configured, sides), go=partial(configured, of_target(sides, "go", GO)))
    for target, own in (("", set()), ("go", {"quality_backfill__go"})):
        runs = api.get("quality", target=target).json()["runs"]
        assert len(runs) == 5
        assert {run["dag_id"] for run in runs} == {"quality_backfill", "my_scores", None} | own
        assert all((run["dag_id"] is None) == (run["dag_run_id"] is None) for run in runs)
