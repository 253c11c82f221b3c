"""The search for secrets finds what is planted, wherever runs write."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ROOT
from tests.support.leaks import MARKER, Leaks, secret

PLANTED = """
import logging
import pytest
from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from tests.support.leaks import LEAKS, secret

def test_log():
    logging.getLogger("code_patterns.sync").warning("logged in with %s", secret("password"))

def test_output():
    print("key", secret("key"))

def test_error():
    with pytest.raises(ConfigurationError):
        raise ConfigurationError(Code.CONNECTION_WRONG, "cannot reach https://" + secret("proxy") + "@host")

def test_clean():
    logging.getLogger("code_patterns.sync").warning("logged in")
    print("key ***")
"""


def test_a_leak_fails_the_test_that_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED)
    paths = os.pathsep.join([str(ROOT / "plugins"), str(ROOT)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.support.leak_checks",
            "-p",
            "no:cacheprovider",
            "test_planted.py",
        ],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "4 passed, 3 errors" in result.stdout, result.stdout + result.stderr
    for place in ("Captured log call: ", "Captured stdout call: ", "text of a ConfigurationError: "):
        assert place in result.stdout
    assert "s3cr3t-" not in result.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO pattern_sync_dead_letters (collection, target_identity, node_id, stage, error) "
        "VALUES ('c', 't', gen_random_uuid(), 'embed', %s)",
        "INSERT INTO pattern_sync_runs (name, collection, kind, status, error) VALUES ('c', 'c', 'full', 'failed', %s)",
    ],
    ids=["dead letters", "run history"],
)
def test_a_leak_into_a_table_is_found(migrated_database: str, statement: str) -> None:
    leaks = Leaks()
    leaks.look_at_database(migrated_database)
    assert leaks.take() == []
    assert leaks.characters > 0, "nothing was looked at"
    with psycopg.connect(migrated_database) as connection:
        connection.execute(statement, [f"wrong key {secret('api key')} given"])
    leaks.look_at_database(migrated_database)
    with psycopg.connect(migrated_database) as connection:
        connection.execute("TRUNCATE pattern_sync_dead_letters, pattern_sync_runs CASCADE")
    [found] = leaks.take()
    assert found.startswith("table pattern_sync_")
    assert MARKER not in found


def test_a_leak_into_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "attempt=1.log").write_bytes(b"\xff\x00 url: postgresql://me:" + secret("url").encode())
    leaks = Leaks()
    leaks.look_at_folder(tmp_path)
    assert leaks.take() == ["file logs/attempt=1.log: ... \ufffd\x00 url: postgresql://me:[a secret]"]


def test_a_real_servers_password_is_looked_for() -> None:
    leaks = Leaks(("only-for-this-job", "postgres"[:4]))
    leaks.look("here", "password=only-for-this-job host=postgres")
    assert leaks.take() == ["here: ... password=[a secret]"]
