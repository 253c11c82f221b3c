"""What every DAG file of the bundle promises its readers."""

import ast
import itertools
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from code_patterns.operators.form import MOST_WITHOUT_SECTIONS, OPEN
from tests.conftest import ROOT

FILES = sorted((ROOT / "dags").glob("*.py"))
DAG_IDS = {path.stem for path in FILES} - {"targets_file"}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(ROOT / "dags")


def test_every_file_is_one_dag_of_its_name(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert {"schema_migration", "pattern_sync_incremental", "pattern_sync_full"} <= DAG_IDS
    assert sorted(bag.dag_ids) == sorted(DAG_IDS)
    assert {dag_id: Path(dag.fileloc).stem for dag_id, dag in bag.dags.items()} == {name: name for name in DAG_IDS}


def test_the_root_as_bundle_gives_the_same_dags() -> None:
    bag = DagBag(ROOT)
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == sorted(DAG_IDS)


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS))
def test_dag_tells_what_a_reader_needs(bag: DagBag, dag_id: str) -> None:
    dag: DAG = bag.dags[dag_id]
    for word in ("Schedule", "Params", "Connections", "Variables", "re-run", "When it fails"):
        assert word.lower() in (dag.doc_md or "").lower(), f"{dag_id} does not tell about {word}"
    assert dag.description
    assert "code-patterns" in dag.tags
    assert dag.catchup is False
    for task in dag.tasks:
        assert task.owner not in ("", "airflow")
        assert task.retries is not None
        assert task.execution_timeout is not None, f"{task.task_id} could run for ever"
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, f"Param {name} has no description"
        assert param.schema.get("type"), f"Param {name} has no type"
        assert param.schema.get("title"), f"Param {name} has no title"


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS))
def test_a_form_needs_one_click(bag: DagBag, dag_id: str) -> None:
    """Nothing has to be filled in; what is rarely needed is out of the way; a dry run comes first."""
    params = {name: bag.dags[dag_id].params.get_param(name) for name in bag.dags[dag_id].params}
    assert params
    assert all(param.value is not None or "null" in param.schema["type"] for param in params.values())
    bag.dags[dag_id].params.validate()
    assert "dry_run" not in [*params][1:]
    sections = [param.schema["section"] for param in params.values()]
    assert sections[0] == OPEN
    assert len(set(sections)) > 1 or len(sections) <= MOST_WITHOUT_SECTIONS
    # A section that is interrupted would show its Params in another order than the file.
    assert len([section for section, _ in itertools.groupby(sections)]) == len(set(sections))
    for name, param in params.items():
        if isinstance(param.schema["type"], str):
            assert param.schema["type"] == "boolean" or "enum" in param.schema, f"{name} must be filled in"


@pytest.mark.parametrize(
    "dag_id", ["pattern_sync_incremental", "pattern_sync_full", "pattern_verify", "quality_backfill"]
)
def test_runs_do_not_fill_the_workers_while_they_wait_for_each_other(bag: DagBag, dag_id: str) -> None:
    """A backfill ignores the DAG's limit of runs; its tasks would each hold a worker and wait for a lock."""
    dag: DAG = bag.dags[dag_id]
    assert dag.max_active_runs == 1
    assert {task.max_active_tis_per_dag for task in dag.tasks if task.task_id != "shard"} == {1}


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS))
def test_no_run_ends_well_after_a_task_failed(bag: DagBag, dag_id: str) -> None:
    """A run ends as its last tasks do."""
    for task in bag.dags[dag_id].leaves:
        assert task.trigger_rule in ("all_success", "none_failed"), task.task_id


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS - {"schema_migration", "pattern_sync_stream"}))
def test_airflow_retries_an_outage_over_fifty_minutes(bag: DagBag, dag_id: str) -> None:
    """As the scheduler reckons, whatever it adds at random.

    A person starts a migration, and starts it again. The watcher starts a stream again, sooner than Airflow would.
    """
    ended = datetime.now(UTC)
    for task in DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[dag_id])).tasks:
        instance = TaskInstance(task, dag_version_id=uuid.uuid4(), run_id="any")
        instance.end_date = ended
        waits = []
        for number in range(1, task.retries + 1):
            instance.try_number = number
            waits.append(instance.next_retry_datetime() - ended)
        assert sum(waits, timedelta()) >= timedelta(minutes=50), (task.task_id, waits)
        assert waits == sorted(waits)
        assert waits[0] < timedelta(minutes=5), "a short outage costs little"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dag_file_is_wiring(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 120
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert all(len(node.body) <= 3 for node in functions)


def test_parsing_reads_and_connects_to_nothing() -> None:
    """Sockets, Variables, connections and ``include`` are forbidden in a new process that parses the files."""
    guard = f"""
import socket, runpy, sys
import airflow.sdk
from airflow.sdk import BaseHook, Variable
from airflow.sdk.execution_time import supervisor
def refuse(*args, **kwargs): raise AssertionError("touched while parsing")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
Variable.get = refuse
supervisor.ensure_secrets_backend_loaded = refuse
BaseHook.get_connection = refuse
airflow.sdk.Connection.get = refuse
def watch(event, arguments):
    path = str(arguments[0]) if event == "open" else ""
    if path.startswith({str(ROOT / "include")!r}):
        raise AssertionError(f"opened while parsing: {{path}}")
sys.addaudithook(watch)
sys.path.insert(0, {str(ROOT / "plugins")!r})
for path in {[str(path) for path in FILES]!r}:
    runpy.run_path(path)
"""
    result = subprocess.run([sys.executable, "-c", guard], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_operators_and_hooks_stay_thin() -> None:
    package = ROOT / "plugins" / "code_patterns"
    for path in [*(package / "operators").glob("*.py"), *(package / "hooks").glob("*.py")]:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                docs = ast.get_docstring(node)
                assert size - len((docs or "").splitlines()) <= 80, f"{path.name}: {node.name} has {size} lines"
