"""The DAGs of targets: each has its own, and a run of one wakes none of another."""

import json
import re
import runpy
import socket
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.sdk import DAG, Asset, BaseHook, Connection, Variable
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from code_patterns.codes import Code
from code_patterns.migrations import runner
from code_patterns.servers.postgres import PostgresConfig
from tests.conftest import ROOT, config_of
from tests.support.connections import connections_of, set_connection, targets_file
from tests.support.two_sides import TwoSides, rows

KINDS = (
    *("pattern_sync_full", "pattern_sync_incremental", "pattern_sync_stream", "pattern_verify"),
    *("pattern_maintenance", "pattern_backup"),
)
LISTED = """
- name: team_a
  collection: of_team_a
  connections: {postgres: a_postgres, qdrant: a_qdrant, embeddings: a_embeddings}
  schedules: {full: "5 3 * * *", incremental: "*/10 * * * *"}
  filters: {language: [python, go], project: alpha}
  pool: pool_a
  stream_pool: streams_a
  shards: true
  scores: true
- name: team-b
  collection: of_team_b
  schedules: {full: null, incremental: null}
  filters: {language: rust}
- {name: team_c, collection: of_team_c}
"""


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "targets.yaml"
    path.write_text(LISTED)
    monkeypatch.setenv("PATTERNS_TARGETS", str(path))
    return path


@pytest.fixture
def bag(listed: Path) -> DagBag:
    found = DagBag(ROOT / "dags")
    assert found.import_errors == {}
    return found


def test_each_target_has_its_dags_beside_those_without_a_name(bag: DagBag) -> None:
    without = {path.stem for path in (ROOT / "dags").glob("*.py")} - {"targets_file"}
    named = {f"{kind}__{name}" for kind in KINDS for name in ("team_a", "team-b", "team_c")}
    others = {"quality_backfill__team_a", "schema_migration__a_postgres"}
    assert set(bag.dag_ids) == without | named | others


def test_the_dags_without_a_name_do_not_change(bag: DagBag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATTERNS_TARGETS")
    alone = DagBag(ROOT / "dags")

    def told(found: DagBag, dag_id: str) -> Any:
        stored = DagSerialization.to_dict(found.dags[dag_id])["dag"]
        # Which other collections may hold the same vectors is all that the file adds.
        stored["default_args"]["__var"].pop("donors", None)
        return stored

    assert sorted(alone.dag_ids) == sorted(dag_id for dag_id in bag.dag_ids if "__" not in dag_id)
    for dag_id in alone.dag_ids:
        assert told(alone, dag_id) == told(bag, dag_id)


@pytest.mark.parametrize(("named", "pool"), [("", "default_pool"), (" ", "default_pool"), ("few", "few")])
def test_an_empty_variable_names_no_pool(monkeypatch: pytest.MonkeyPatch, named: str, pool: str) -> None:
    """Airflow would let all tasks wait for a pool without a name."""
    monkeypatch.setenv("PATTERNS_POOL", named)
    monkeypatch.setenv("PATTERNS_STREAM_POOL", named)
    for name in ("pattern_sync_full", "pattern_sync_stream"):
        made = runpy.run_path(str(ROOT / "dags" / f"{name}.py"))["dag"]
        assert {task.pool for task in made.tasks} == {pool}


def test_connections_pool_and_collection_are_the_targets(bag: DagBag) -> None:
    tasks = [task for dag_id, dag in bag.dags.items() if dag_id.endswith("__team_a") for task in dag.tasks]
    assert len(tasks) == 4 + 1 + 2 + 1 + 1 + 3 + 1
    for task in tasks:
        assert task.pool == ("streams_a" if "stream" in task.dag_id else "pool_a")
        # A mapped task takes them from its DAG when it is made.
        given = task.dag.default_args if task.task_id == "shard" else vars(task)
        if task.task_id != "compare":
            names = ["postgres_conn_id", "qdrant_conn_id", "default_collection"]
            # These two know PostgreSQL only.
            known = names[:1] if task.task_id in ("prune_traces", "tables") else names
            chosen = [given[name] for name in known]
            assert chosen == ["a_postgres", "a_qdrant", "of_team_a"][: len(known)], task.task_id
    assert bag.dags["pattern_sync_full__team_a"].get_task("sync").embedding_conn_id == "a_embeddings"
    assert bag.dags["schema_migration__a_postgres"].get_task("apply").postgres_conn_id == "a_postgres"


def test_schedules_are_the_targets_and_null_means_by_hand(bag: DagBag) -> None:
    assert bag.dags["pattern_sync_full__team_a"].timetable.expression == "5 3 * * *"
    assert bag.dags["pattern_sync_incremental__team_a"].timetable.expression == "*/10 * * * *"
    assert bag.dags["pattern_sync_incremental__team_a"].get_task("sync").cron == "*/10 * * * *"
    assert not bag.dags["pattern_sync_full__team-b"].timetable.can_be_scheduled
    assert bag.dags["pattern_sync_full__team_c"].timetable == bag.dags["pattern_sync_full"].timetable


def asked_by(dag: DAG) -> list[Asset]:
    """The assets that start a DAG."""
    listed = dag.schedule if isinstance(dag.schedule, list) else [dag.schedule]
    return [asset for asset in listed if isinstance(asset, Asset)]


def test_no_asset_is_shared(bag: DagBag) -> None:
    owners: dict[str, str] = {}
    for dag_id, dag in bag.dags.items():
        target = dag_id.partition("__")[2] if not dag_id.startswith("schema_migration") else ""
        outlets = [asset for task in dag.tasks for asset in getattr(task, "outlets", [])]
        for asset in [*outlets, *asked_by(dag)]:
            assert owners.setdefault(asset.name, target) == target
    assert {"code_patterns", "code_patterns__team_a", "code_patterns_unattended__team-b"} <= owners.keys()
    compare = bag.dags["pattern_sync_stream__team_a"].get_task("compare")
    assert compare.trigger_dag_id == "pattern_sync_full__team_a"
    # What is compared is what was streamed.
    assert compare.conf == {"collection": "{{ params.collection }}"}


def test_the_watcher_of_each_stream_asks_for_its_own_collection(bag: DagBag) -> None:
    seen = {}
    for name in ("", "__team_a", "__team-b"):
        [asset] = asked_by(bag.dags[f"pattern_sync_stream{name}"])
        [watcher] = asset.watchers
        seen[watcher.name] = watcher.trigger.serialize()[1]
    assert seen == {
        "code_patterns_unattended": {"postgres_conn_id": "patterns_postgres"},
        "code_patterns_unattended__team_a": {
            "postgres_conn_id": "a_postgres",
            "collection": "of_team_a",
            "target": "team_a",
        },
        "code_patterns_unattended__team-b": {
            "postgres_conn_id": "patterns_postgres",
            "collection": "of_team_b",
            "target": "team-b",
        },
    }


def test_donors_are_those_that_can_hold_the_same_row_in_the_same_qdrant(bag: DagBag) -> None:
    donors = {
        name: bag.dags[f"pattern_sync_full{name}"].get_task("sync").donors for name in ("", "__team_a", "__team_c")
    }
    assert donors == {"": ("of_team_b", "of_team_c"), "__team_a": (), "__team_c": (None, "of_team_b")}


@pytest.mark.parametrize("kind", KINDS)
def test_forms_and_pages_are_whole(bag: DagBag, kind: str) -> None:
    dag: DAG = bag.dags[f"{kind}__team_c"]
    dag.params.validate()
    assert set(bag.dags[kind].params) - set(dag.params) == ({"shards"} if kind == "pattern_sync_full" else set())
    assert dag.params.get_param("collection").description == "Alias or collection in Qdrant. Empty: of_team_c."
    assert "patterns_collection" in bag.dags[kind].params.get_param("collection").description
    assert (dag.doc_md or "").startswith("### ")
    assert "**Target `team_c`**: collection `of_team_c`" in (dag.doc_md or "")
    DagSerialization.from_dict(DagSerialization.to_dict(dag))
    # A run changes the Params of its own DAG only.
    dag.params["collection"] = "elsewhere"
    assert bag.dags[kind].params["collection"] is None


def test_each_page_says_which_dag_migrates_the_targets_database(bag: DagBag) -> None:
    # As a reader of the page does who looks for a name.
    for name, migration in (("team_a", "schema_migration__a_postgres"), ("team_c", "schema_migration")):
        assert migration in bag.dags
        for dag_id, dag in bag.dags.items():
            if dag_id.endswith(f"__{name}"):
                said = "as it is" if migration == "schema_migration" else f"as `{migration}`"
                assert f"with `__{name}` at their end, but `schema_migration` {said}" in (dag.doc_md or "")


def test_every_task_of_a_target_knows_whose_dags_its_messages_mean(bag: DagBag) -> None:
    migrations = {"team_a": "schema_migration__a_postgres", "team_c": "schema_migration"}
    for dag_id, dag in bag.dags.items():
        kind, _, name = dag_id.partition("__")
        for task in dag.tasks:
            given = task.dag.default_args if task.task_id == "shard" else vars(task)
            if kind == "schema_migration":
                assert given["sync_target"].told("Run schema_migration again.") == f"Run {dag_id} again."
            elif name in migrations and task.task_id != "compare":
                said = f"Run {migrations[name]}, then pattern_sync_full__{name}."
                assert given["sync_target"].told("Run schema_migration, then pattern_sync_full.") == said
            elif not name and "sync_target" in given:
                assert given["sync_target"].told("Run schema_migration first.") == "Run schema_migration first."


@pytest.mark.remedy(Code.TARGETS_FILE_WRONG)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "- {name: a, collection: b, filter: {language: go}}",
            ": target 'a' has the unknown key 'filter'. Remove or rename it; known are name, ",
        ),
        ("- {name: a, collection: 2026-13-01}", ", line 1, column 25: '2026-13-01' is no value"),
    ],
)
def test_a_wrong_file_is_one_import_error_and_the_rest_stays(listed: Path, text: str, told: str) -> None:
    listed.write_text(text)
    bag = DagBag(ROOT / "dags")
    [(file, error)] = bag.import_errors.items()
    assert file.endswith("targets_file.py")
    assert f"{listed}{told}" in error
    without = {path.stem for path in (ROOT / "dags").glob("*.py")} - {"targets_file"}
    assert set(bag.dag_ids) == without
    listed.write_text("- {name: a, collection: b, filters: {language: go}}")
    corrected = DagBag(ROOT / "dags")
    assert corrected.import_errors == {}
    assert set(corrected.dag_ids) == without | {f"{kind}__a" for kind in KINDS}


def test_a_task_makes_only_its_own_dag(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "pattern_sync_full__team_c")
    assert DagBag(ROOT / "dags" / "pattern_sync_full.py").dag_ids == ["pattern_sync_full__team_c"]


def test_fifty_targets_are_parsed_without_a_connection_a_variable_or_a_second_look_at_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, looks = tmp_path / "fifty.yaml", []
    path.write_text("".join(f"- {{name: t{number}, collection: c{number}}}\n" for number in range(50)))
    monkeypatch.setenv("PATTERNS_TARGETS", str(path))
    real = Path.read_bytes

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("touched while parsing")

    def read(file: Path) -> bytes:
        looks.append(file)
        return real(file)

    monkeypatch.setattr(Path, "read_bytes", read)
    for owner, name in (
        (socket.socket, "connect"),
        (Variable, "get"),
        (BaseHook, "get_connection"),
        (Connection, "get"),
    ):
        monkeypatch.setattr(owner, name, refuse)
    made = [runpy.run_path(str(file)) for file in sorted((ROOT / "dags").glob("*.py"))]
    assert sum("target" in names and names["target"].named("x") == "x__t49" for names in made) == 6
    assert looks.count(path) == 1


@pytest.fixture
def two_teams(sides: TwoSides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TwoSides:
    """Connections, and a file with two targets of the same servers."""
    for name, value in connections_of(sides).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_VAR_PATTERNS_PATIENCE_SECONDS", "0")
    listed = [
        {"name": "py", "collection": f"{sides.collection}_py", "filters": {"language": "python"}, "scores": True},
        {"name": "all", "collection": f"{sides.collection}_all"},
    ]
    path = tmp_path / "teams.yaml"
    path.write_text(json.dumps(listed))
    monkeypatch.setenv("PATTERNS_TARGETS", str(path))
    return sides


def run(dag_id: str, task_id: str = "sync", **params: Any) -> Any:
    """Run a DAG of a target to its end; return the XCom of a task."""
    dag = DagBag(ROOT / "dags" / f"{dag_id.partition('__')[0]}.py").dags[dag_id]
    for task in dag.tasks:
        task.retries = 0
    dag_run = dag.test(run_conf=params)
    assert str(dag_run.state) == "success"
    return dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def test_two_targets_run_from_the_file(metadata_database: None, two_teams: TwoSides) -> None:
    # The database of these tests knows only the DAGs without a name.
    sync_bag_to_db(DagBag(ROOT / "dags", bundle_path=ROOT / "dags"), "dags-folder", None)
    python, go = rows(6), rows(4, 20, language="go")
    two_teams.insert([*python, *go])
    two_teams.settle()
    first = run("pattern_sync_full__py")
    assert (first["collection"], first["new"], first["parity"]) == (f"{two_teams.collection}_py", 6, "proven")
    second = run("pattern_sync_full__all")
    assert (second["new"], second["embedded_texts"]) == (10, 4)
    two_teams.execute("UPDATE pattern_lineage_nodes SET language = 'go' WHERE id = %s", [python[0]["id"]])
    two_teams.settle()
    assert run("pattern_sync_incremental__py")["deleted"] == 1
    assert run("pattern_sync_incremental__all")["payload_only"] == 0
    for params in ({}, {"collection": "all"}):
        told = run("quality_backfill__py", "score", **params)
        found = {name: count for name, count in told.items() if name.startswith("found_in_")}
        assert found == {f"found_in_{two_teams.collection}_py": 5}


@pytest.fixture
def further_database(
    empty_database: str, two_teams: TwoSides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PostgresConfig:
    """Of the target ``b``, and without any table."""
    config = config_of(empty_database)
    where = {"host": config.host, "port": config.port, "schema": config.database}
    who = {"login": config.user, "password": config.password}
    set_connection(monkeypatch, "b_postgres", conn_type="postgres", **where, **who)
    entry = {"name": "b", "collection": two_teams.collection, "connections": {"postgres": "b_postgres"}}
    monkeypatch.setenv("PATTERNS_TARGETS", targets_file(tmp_path, {**entry, "scores": True})["PATTERNS_TARGETS"])
    return config


@pytest.mark.parametrize("kind", ["pattern_verify", "pattern_maintenance", "quality_backfill"])
def test_a_failed_task_names_the_migration_of_its_own_database(
    kind: str, metadata_database: None, further_database: PostgresConfig, caplog: pytest.LogCaptureFixture
) -> None:
    bag = DagBag(ROOT / "dags" / f"{kind}.py", bundle_path=ROOT / "dags")
    sync_bag_to_db(bag, "dags-folder", None)
    dag = bag.dags[f"{kind}__b"]
    for task in dag.tasks:
        task.retries = 0
    assert str(dag.test().state) == "failed"
    assert "What to do: Run schema_migration__b_postgres first" in caplog.text
    assert not re.search(r"Run schema_migration\b", caplog.text)


def test_a_migration_names_itself(further_database: PostgresConfig) -> None:
    runner.apply(further_database, "up", 1, "a run")
    with psycopg.connect(further_database.conninfo, autocommit=True) as connection:
        connection.execute("UPDATE pattern_schema_migrations SET state = 'applying'")
    dag = DagBag(ROOT / "dags" / "schema_migration.py").dags["schema_migration__b_postgres"]
    verify = dag.get_task("verify")
    verify.direction, verify.target, verify.dry_run_only = "up", None, False
    with pytest.raises(AirflowFailException, match="Run schema_migration__b_postgres again"):
        verify.execute({})


def test_a_dag_file_alone_gives_its_targets(listed: Path) -> None:
    made = runpy.run_path(str(ROOT / "dags" / "pattern_verify.py"))
    assert made["dag"].dag_id == "pattern_verify__team_c"
