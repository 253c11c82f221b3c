"""The bundle from a private Git repository: every run uses the files of its own commit, operators included."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.support.airflow_database import copy_database
from tests.support.connections import connections_of
from tests.support.git_server import private_repository
from tests.support.two_sides import TwoSides

ROLES = Path(__file__).with_name("airflow_roles.py")
OPERATOR = "plugins/code_patterns/operators/qdrant_upsert.py"
LOGIN, TOKEN = "reader", "secret-token-0123456789"
DAG_FILES = sorted(f"dags/{path.name}" for path in (ROOT / "dags").glob("*.py"))

Role = Callable[..., dict[str, Any]]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]
    # A Git hook that runs the tests names its own repository by GIT_DIR.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def copy_bundle(folder: Path) -> Path:
    """Copy this checkout's bundle, without what Python left in it."""
    folder.mkdir()
    for name in ("dags", "include", "plugins"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / ".airflowignore", folder)
    return folder


def mark_operator(checkout: Path, mark: str) -> None:
    """Change the operator's code so that a run's result shows it."""
    with (checkout / OPERATOR).open("a") as module:
        module.write(
            f"""

class QdrantUpsertOperator(QdrantUpsertOperator):
    def execute(self, context):
        return {{**super().execute(context), "operator_of": "{mark}"}}
"""
        )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A Git repository whose first commit is this working tree, with a marked operator."""
    folder = copy_bundle(tmp_path / "repository")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "A")
    return folder


def commit(repository: Path, mark: str) -> str:
    mark_operator(repository, mark)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", mark)
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def address(repository: Path) -> Iterator[str]:
    """Where the repository is served to who has the password."""
    with private_repository(repository, LOGIN, TOKEN) as url:
        yield url


@pytest.fixture
def airflow(tmp_path: Path, address: str, sides: TwoSides) -> Iterator[Role]:
    """Do the work of Airflow's processes; their plugins folder is an older checkout than any of the bundle's."""
    older = copy_bundle(tmp_path / "older")
    mark_operator(older, "older")
    bundle = {
        "name": "patterns",
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {"git_conn_id": "code_patterns_git", "tracking_ref": "main", "refresh_interval": 30},
    }
    home = tmp_path / "airflow"
    home.mkdir()
    # With the same DAGs from a folder, as where a team moves them into Git.
    copy_database(home / "airflow.db")
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        # A busy machine needs long for a file.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(older / "plugins"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(tmp_path / "bundles"),
        "AIRFLOW_CONN_CODE_PATTERNS_GIT": json.dumps(
            {"conn_type": "git", "host": address, "login": LOGIN, "password": TOKEN}
        ),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **connections_of(sides),
    }
    for name in [key for key in environment if key == "PYTHONPATH" or key.startswith("GIT_")]:
        del environment[name]

    parent = subprocess.Popen(
        [sys.executable, ROLES],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None

    def role(name: str, *arguments: str) -> dict[str, Any]:
        print(json.dumps({"role": name, "arguments": arguments}), file=parent.stdin, flush=True)
        log = []
        for line in parent.stdout:
            if line.startswith("RESULT "):
                assert TOKEN not in "".join(log)
                return json.loads(line.removeprefix("RESULT ")) | {"log": "".join(log)}
            log.append(line)
            if line == "FAILED\n":
                break
        raise AssertionError("".join(log)[-5000:])

    try:
        yield role
    finally:
        parent.stdin.close()
        parent.wait(60)


def test_each_run_uses_the_operators_of_its_own_commit(airflow: Role, repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    parsed = airflow("parse")
    assert parsed["version"] == first
    assert parsed["files"] == DAG_FILES
    assert parsed["errors"] == {}
    # One file only checks the list of targets.
    assert {Path(name).stem for name in DAG_FILES} - {"targets_file"} == set(parsed["dags"])
    run = airflow("run", "run-a", "pattern_sync_full", "sync")
    assert (run["version"], run["state"]) == (first, "success"), run["log"]
    assert run["result"]["operator_of"] == "A"
    assert (run["result"]["examined"], run["result"]["parity"]) == (0, "not proven")

    second = commit(repository, "B")
    assert airflow("parse")["version"] == second
    run = airflow("run", "run-b", "pattern_sync_full", "sync")
    assert (run["version"], run["state"], run["result"]["operator_of"]) == (second, "success", "B"), run["log"]

    # Cleared after the deployment of B, the first run is repeated as it was.
    again = airflow("run", "run-a", "pattern_sync_full", "sync")
    assert (again["version"], again["state"], again["result"]["operator_of"]) == (first, "success", "A"), again["log"]


def test_the_triggerer_can_import_everything_from_the_plugins_folder_alone(tmp_path: Path) -> None:
    # Airflow never gives the triggerer the bundle: what a trigger or a callback needs must be found without it.
    plugins = copy_bundle(tmp_path / "checkout") / "plugins"
    shutil.rmtree(tmp_path / "checkout" / "dags")
    program = """
import importlib, json, pkgutil, sys
import airflow.sdk
import code_patterns
names = [module.name for module in pkgutil.walk_packages(code_patterns.__path__, "code_patterns.")]
places = {importlib.import_module(name).__file__ for name in names}
print(json.dumps({"names": names, "places": sorted(places), "path": sys.path}))
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert "code_patterns.operators.qdrant_upsert" in found["names"]
    assert all(Path(place).is_relative_to(plugins) for place in found["places"])
    assert str(plugins.parent) not in found["path"]
