"""A deployed script, unchanged: only the environment is set, and it runs as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from code_patterns.servers.postgres import PostgresConfig
from tests.conftest import ROOT, config_of
from tests.support.learning_database import LearningDatabase

SCRIPT = Path(__file__).with_name("deployed_script.py")
NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"


def url_of(config: PostgresConfig) -> str:
    password = f":{config.password}" if config.password else ""
    if config.host.startswith("/"):
        return f"postgresql://{config.user}{password}@/{config.database}?host={config.host}&port={config.port}"
    return f"postgresql://{config.user}{password}@{config.host}:{config.port}/{config.database}"


def parts_of(config: PostgresConfig) -> dict[str, str]:
    found = {
        "TRACEABILITY_DB_HOST": config.host,
        "TRACEABILITY_DB_PORT": str(config.port),
        "TRACEABILITY_DB_NAME": config.database,
        "TRACEABILITY_DB_USER": config.user,
    }
    return {**found, "TRACEABILITY_DB_PASSWORD": config.password} if config.password else found


@pytest.mark.parametrize("named", ["external url", "url", "parts"])
def test_it_runs_where_only_the_environment_is_set(empty_database: str, named: str) -> None:
    """What stands later in the order names a server that is not there."""
    config = config_of(empty_database)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "plugins"), "PGHOST": "127.0.0.1"}
    if named == "external url":
        environment |= {"TRACEABILITY_DB_URL_EXTERNAL": url_of(config), "TRACEABILITY_DB_URL": NOWHERE}
    elif named == "url":
        environment |= {"TRACEABILITY_DB_URL": url_of(config), "TRACEABILITY_DB_HOST": "127.0.0.1"}
    else:
        environment |= parts_of(config)
    ended = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["done"]), ended.stdout + ended.stderr
    assert f"database: {config.database}" in ended.stdout
    database = LearningDatabase(empty_database)
    assert database.counts()["pattern_templates"] == 3
    [alone] = database.rows("SELECT success FROM pattern_learning_traces WHERE operation = 'alone'")
    assert alone["success"]
