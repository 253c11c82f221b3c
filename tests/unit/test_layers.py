"""Who may import whom: the contracts in pyproject.toml, on the tree and on trees with one forbidden import each."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("code_patterns", "code_patterns_provider", "pattern_learning", "dags")
MAIN = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
CIRCLE = """
import graphlib, sys, grimp
graph = grimp.build_graph(*sys.argv[1:], cache_dir=None)
try:
    graphlib.TopologicalSorter({m: graph.find_modules_directly_imported_by(m) for m in graph.modules}).prepare()
except graphlib.CycleError as error:
    print(" -> ".join(error.args[1]))
"""

FORBIDDEN = {
    "the core names Airflow": ("airflow", "code_patterns/quality/score.py", "import airflow"),
    "the core names Airflow inside a function": (
        "airflow",
        "code_patterns/sync/diff.py",
        "def late() -> None:\n    from airflow.sdk import Variable",
    ),
    "the core names Airflow for type checkers": (
        "airflow",
        "pattern_learning/effect.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from airflow.sdk import BaseHook",
    ),
    "the core uses a hook": ("rooms", "code_patterns/sync/source.py", "import code_patterns.hooks.postgres"),
    "a hook uses an operator": ("rooms", "code_patterns/hooks/qdrant.py", "import code_patterns.operators.migration"),
    "code_patterns uses pattern_learning": (
        "packages",
        "code_patterns/operators/migration.py",
        "import pattern_learning.jobs",
    ),
    "the provider uses code_patterns": (
        "packages",
        "code_patterns_provider/__init__.py",
        "def late() -> None:\n    import code_patterns.errors",
    ),
    "code_patterns uses the provider": (
        "packages",
        "code_patterns/hooks/embedding.py",
        "import code_patterns_provider",
    ),
    "a package uses a DAG file": ("packages", "pattern_learning/rows.py", "import dags.pattern_verify"),
    "servers use the sync": ("rooms", "code_patterns/servers/retry.py", "import code_patterns.sync.diff"),
    "servers use embeddings": ("rooms", "code_patterns/servers/tls.py", "import code_patterns.embeddings.base"),
    "servers use migrations": ("rooms", "code_patterns/servers/qdrant.py", "import code_patterns.migrations.files"),
    "embeddings use quality": ("rooms", "code_patterns/embeddings/base.py", "import code_patterns.quality.score"),
    "quality uses the sync": ("rooms", "code_patterns/quality/score.py", "import code_patterns.sync.pattern"),
    "the sync uses quality": ("rooms", "code_patterns/sync/pattern.py", "import code_patterns.quality.score"),
    "the sync uses the look at an old installation": (
        "rooms",
        "code_patterns/sync/pattern.py",
        "import code_patterns.adopt.inspection",
    ),
    "the nodes use pattern_learning's operators": (
        "operators",
        "pattern_learning/jobs.py",
        "import pattern_learning.operators.analytics",
    ),
    "the nodes use a hook": ("hooks", "pattern_learning/jobs.py", "import code_patterns.hooks.qdrant"),
    "a DAG file uses the core": ("wiring", "../dags/pattern_verify.py", "import code_patterns.sync.proof"),
}

_IMPORTED = re.compile(r"import (code_patterns[\w.]*|pattern_learning[\w.]*|dags[\w.]*|airflow$)|from (airflow)\.")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree, to be spoilt."""
    for folder in ("plugins", "dags"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(tree: Path, file: str, code: str) -> None:
    path = tree / "plugins" / file
    path.write_text((path.read_text("utf-8") if path.exists() else "") + "\n\n" + code + "\n", "utf-8")


def lint(tree: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    chosen = [part for contract in contracts for part in ("--contract", contract)]
    return python(tree, MAIN, "--no-cache", "--no-logo", *chosen)


def circle(tree: Path) -> str:
    """Modules that import each other, packages' own ``__init__`` modules among them; empty where there are none."""
    result = python(tree, CIRCLE, *PACKAGES)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def python(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: this one has imported the packages, and they would be looked for where it found them.
    return subprocess.run(
        [sys.executable, "-c", *command],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["plugins", "."]), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_tree_keeps_every_contract() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Contracts: 7 kept, 0 broken." in result.stdout


@pytest.mark.parametrize("contract", sorted({contract for contract, _, _ in FORBIDDEN.values()}))
def test_forbidden_imports_are_found(tree: Path, contract: str) -> None:
    """All of a contract at once, because each look at the tree takes seconds."""
    planted = [(file, code) for of, file, code in FORBIDDEN.values() if of == contract]
    for file, code in planted:
        plant(tree, file, code)
    result = lint(tree, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Contracts: 0 kept, 1 broken." in result.stdout
    for file, code in planted:
        importer = ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__").removeprefix("...")
        assert importer in result.stdout, file
        if imported := _IMPORTED.search(code):
            assert f"{importer} -> {imported[1] or imported[2]}" in result.stdout, file


def test_a_module_without_a_place_is_found(tree: Path) -> None:
    plant(tree, "code_patterns/helpers.py", '"""Odds and ends."""')
    result = lint(tree, "rooms")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "helpers" in result.stdout


def test_packages_in_a_circle_are_found(tree: Path) -> None:
    plant(tree, "code_patterns/sync/pattern.py", "import code_patterns.sync.runs.full")
    result = lint(tree, "circles")
    assert result.returncode == 1, result.stdout + result.stderr
    assert ".pattern -> .runs" in result.stdout


def test_an_exception_that_nobody_needs_is_found(tree: Path) -> None:
    project = tree / "pyproject.toml"
    text = project.read_text("utf-8")
    needed = '"code_patterns.hooks.** -> airflow",'
    assert needed in text
    project.write_text(text.replace(needed, needed + '\n  "code_patterns.sync.diff -> airflow",'), "utf-8")
    result = lint(tree, "airflow")
    assert result.returncode == 1
    assert "code_patterns.sync.diff -> airflow" in result.stdout + result.stderr


def test_no_module_is_in_a_circle() -> None:
    assert circle(ROOT) == ""


def test_a_circle_with_a_package_itself_is_found(tree: Path) -> None:
    plant(tree, "code_patterns/quality/score.py", "def late() -> None:\n    from code_patterns.quality import VERSION")
    found = circle(tree).split(" -> ")
    assert {"code_patterns.quality", "code_patterns.quality.score"} <= set(found)
