"""What deploy/Dockerfile promises. No Docker is needed: docs/deploy.md says how its steps were run without."""

import os
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"


class Stage(NamedTuple):
    """A stage of the Dockerfile."""

    base: str
    steps: list[tuple[str, str]]
    """Instruction and argument, continued lines in one."""

    def of(self, instruction: str) -> list[str]:
        return [argument for name, argument in self.steps if name == instruction]


def stages() -> list[Stage]:
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, text.splitlines()):
        instruction, argument = line.split(maxsplit=1)
        if instruction == "FROM":
            found.append(Stage(argument.split()[0], []))
        elif found:
            found[-1].steps.append((instruction, argument))
    return found


PACKAGES, IMAGE = stages()


def test_both_stages_have_the_same_exact_python() -> None:
    assert PACKAGES.base == IMAGE.base == "python:${PYTHON}"
    default = re.search(r"^ARG PYTHON=(.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert default
    assert re.fullmatch(r"3\.11\.\d+-slim-[a-z]+", default[1])


def test_packages_come_by_hash_as_wheels_and_leave_no_cache() -> None:
    [install] = [run for run in PACKAGES.of("RUN") if " install " in run]
    assert "requirements.lock" in install
    for option in ("--no-cache-dir", "--no-deps", "--require-hashes", "--only-binary :all:"):
        assert option in install


def test_the_image_gets_packages_but_nothing_that_could_make_or_install_them() -> None:
    runs = " ".join(IMAGE.of("RUN"))
    installed = re.findall(r"apt-get install --yes --no-install-recommends ([a-z0-9 -]+?) &&", runs)
    assert [set(packages.split()) for packages in installed] == [{"git", "tini"}]
    assert "rm -rf /var/lib/apt/lists/*" in runs
    assert re.search(r"pip uninstall .*\bpip setuptools wheel", runs)
    assert "pip install" not in runs
    assert "--without-pip" in " ".join(PACKAGES.of("RUN"))
    assert "--from=packages /opt/venv /opt/venv" in IMAGE.of("COPY")


def test_the_image_runs_as_a_user_who_owns_nothing_but_the_logs() -> None:
    assert IMAGE.of("USER") == ["50000:0"]
    # What comes after the user could belong to it.
    names = [name for name, _ in IMAGE.steps]
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])
    assert not any("--chown" in copy for copy in IMAGE.of("COPY"))


def test_the_build_gets_what_is_copied_and_nothing_else() -> None:
    ignored, *rules = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] != "#"]
    assert ignored == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = set()
    for copy in PACKAGES.of("COPY") + [copy for copy in IMAGE.of("COPY") if "--from" not in copy]:
        copied.add(next(word for word in copy.split() if not word.startswith("--")))
    locks = {"requirements-worker.lock", "deploy/kubernetes/requirements.lock"}
    assert allowed == copied - {"${LOCK}"} | locks
    assert all((ROOT / path).exists() for path in allowed)
    assert not any(fnmatch(path, pattern) for path in allowed for pattern in (".env*", "secrets*", ".git"))


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (["airflow", "version"], "airflow version"),
        (["scheduler"], "airflow scheduler"),
        (["bash", "-c", "exec airflow api-server"], "airflow api-server"),
        (
            ["python", "-m", "airflow.sdk.execution_time.execute_workload"],
            "python -m airflow.sdk.execution_time.execute_workload",
        ),
    ],
)
def test_the_entrypoint_runs_what_compose_and_the_chart_ask_for(arguments: list[str], ran: str, tmp_path: Path) -> None:
    for name in ("airflow", "python"):
        program = tmp_path / name
        program.write_text('#!/bin/bash\necho "${0##*/} $*"\n')
        program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([DEPLOY / "entrypoint.sh", *arguments], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == ran
