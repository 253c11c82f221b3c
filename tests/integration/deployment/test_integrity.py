"""The tests that a user runs on a copy of the bundle: they pass on this one, and fail on a broken one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.deployment.test_git_bundle import DAG_FILES, copy_bundle


def checked(repository: Path) -> tuple[int, str]:
    """Do what docs/deploy.md says, in the user's repository; return the exit status and what was printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "code_patterns_integrity"],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": "bundles/code-patterns/plugins", "AIRFLOW_HOME": str(repository / "airflow")},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of a user's own, which holds a copy of the bundle."""
    (tmp_path / "bundles").mkdir()
    copy = copy_bundle(tmp_path / "bundles" / "code-patterns")
    (copy / "requirements.txt").write_bytes((ROOT / "requirements.txt").read_bytes())
    return tmp_path


def test_a_whole_copy_passes(repository: Path) -> None:
    status, said = checked(repository)
    assert status == 0, said
    assert re.search(r"\b21 passed\b", said), said


def test_a_broken_copy_fails_and_the_file_is_named(repository: Path) -> None:
    dags = repository / "bundles" / "code-patterns" / "dags"
    text = (dags / "pattern_verify.py").read_text()
    (dags / "pattern_verify.py").write_text(
        text.replace("code_patterns.operators.qdrant_upsert", "code_patterns.operators.nowhere")
    )
    text = (dags / "quality_backfill.py").read_text()
    (dags / "quality_backfill.py").write_text(text.replace('"owner": "data-engineering"', '"owner": ""'))
    text = (dags / "schema_migration.py").read_text()
    (dags / "schema_migration.py").write_text(
        text.replace("FORM = migration_form(", "FORM = {'n': 'x'} | migration_form(")
    )
    status, said = checked(repository)
    assert status == 1, said
    assert "No module named 'code_patterns.operators.nowhere'" in said
    assert "gives no DAG 'pattern_verify'" in said
    assert "test_policy[quality_backfill]" in said
    assert "test_params_are_valid[schema_migration]" in said
    assert "test_policy[pattern_sync_full]" not in said


def test_a_copy_without_dags_fails(repository: Path) -> None:
    for name in DAG_FILES:
        (repository / "bundles" / "code-patterns" / name).unlink()
    status, said = checked(repository)
    assert status == 1, said
    assert "missing in" in said
    assert "1 passed" not in said.splitlines()[-1]
