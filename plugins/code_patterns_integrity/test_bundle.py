"""What a copy of this bundle must hold wherever it is deployed; docs/deploy.md says how to run it.

It needs Airflow, pytest and the packages of requirements.txt; no server and no database.
"""

import os
import re
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# Airflow reads these when it is first imported, and writes its configuration into the folder.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))
# A busy machine needs long for the first file, which imports everything.
os.environ.setdefault("AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT", "120")

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

BUNDLE = Path(__file__).resolve().parents[2]
DAG_IDS = (
    "pattern_analytics",
    "pattern_backup",
    "pattern_maintenance",
    "pattern_sync_full",
    "pattern_sync_incremental",
    "pattern_sync_stream",
    "pattern_verify",
    "quality_backfill",
    "schema_migration",
)


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """All DAGs of the bundle, parsed as the DAG processor does."""
    return DagBag(BUNDLE / "dags")


@pytest.fixture(params=DAG_IDS)
def dag(bag: DagBag, request: pytest.FixtureRequest) -> DAG:
    """Each DAG."""
    if request.param not in bag.dags:
        pytest.fail(f"{BUNDLE / 'dags'} gives no DAG '{request.param}'.")
    found: DAG = bag.dags[request.param]
    return found


def test_every_file_can_be_imported(bag: DagBag) -> None:
    """No file is broken, and the folder is the right one."""
    if bag.import_errors:
        pytest.fail("\n".join(f"{file}:\n{error}" for file, error in bag.import_errors.items()), pytrace=False)
    assert set(DAG_IDS) - set(bag.dag_ids) == set(), f"missing in {BUNDLE / 'dags'}"


def test_every_package_is_installed() -> None:
    """Some are imported by a task only, so that parsing the DAGs does not miss them."""
    names = re.findall(r"^[A-Za-z0-9_.-]+", (BUNDLE / "requirements.txt").read_text(), re.MULTILINE)
    assert names
    assert [name for name in names if not _installed(name)] == []


def test_the_queries_are_there() -> None:
    """The folder ``include`` was deployed with the plugins."""
    from code_patterns.sql import INCLUDE

    assert (INCLUDE / "sql" / "sync_rows.sql").is_file()
    assert (INCLUDE / "migrations" / "schema.txt").is_file()


def test_params_are_valid(dag: DAG) -> None:
    """The form can be sent as it opens, and says what each field means."""
    dag.params.validate()
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, f"Param {name} has no description"
        assert param.schema.get("type"), f"Param {name} has no type"


def test_policy(dag: DAG) -> None:
    """Each DAG says whose it is, and each task how often it is tried and how long it may take."""
    assert dag.description
    assert dag.doc_md
    assert "code-patterns" in dag.tags
    assert dag.catchup is False
    # A stream begins beside the run of one that was killed.
    assert dag.max_active_runs == (3 if dag.dag_id == "pattern_sync_stream" else 1)
    assert dag.tasks
    for task in dag.tasks:
        assert task.owner not in ("", "airflow"), f"{task.task_id} has no owner"
        assert task.execution_timeout is not None, f"{task.task_id} could run for ever"
        # A person starts a migration again, and the watcher a stream.
        assert task.retries or task.task_id in ("apply", "stream"), f"{task.task_id} is never tried again"


def _installed(name: str) -> bool:
    try:
        return distribution(name) is not None
    except PackageNotFoundError:
        return False
