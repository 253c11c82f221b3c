"""Airflow's API server alone, with the bundle's plugins and DAGs, for tests of what it serves."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket

import httpx

from tests.conftest import ROOT
from tests.support.airflow_database import MAKE, copy_database

USERS = {"admin": "admin", "viewer": "viewer", "nobody": ""}
"""Users and their roles, with the simple auth manager; the name is the password. One has no role."""
SECONDS = 300.0


@dataclass(frozen=True)
class ApiServer:
    """A running API server.

    :param url: its address
    :param log: file of what it prints
    """

    url: str
    log: Path

    def token(self, user: str) -> str:
        """Log in, and return the token."""
        login = {"username": user, "password": user}
        answer = httpx.post(f"{self.url}/auth/token", json=login, trust_env=False, timeout=SECONDS)
        assert answer.is_success, answer.text
        return str(answer.json()["access_token"])

    def client(self, user: str | None = "viewer") -> httpx.Client:
        """A client that is logged in as a user, or as nobody at all."""
        headers = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=SECONDS, trust_env=False)


@contextmanager
def api_server(
    home: Path, environment: Mapping[str, str], python: str = sys.executable, users: str = ""
) -> Iterator[ApiServer]:
    """Run ``airflow api-server`` on SQLite, with the simple auth manager unless the environment names another.

    :param home: its ``AIRFLOW_HOME``, an empty folder
    :param environment: connections and Variables
    :param python: interpreter that has Airflow
    :param users: Python code that makes the users of another auth manager
    """
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": "only-for-tests",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-and-long-enough-for-sha512-which-wants-64-bytes-of-it",
        "PYTHONPATH": str(ROOT / "plugins"),
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    of_airflow = {**os.environ, **settings}
    if users:
        # Another auth manager has tables of its own.
        done = subprocess.run([python, "-c", MAKE + users], env=of_airflow, cwd=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
    else:
        copy_database(home / "airflow.db")
    server = ApiServer(f"http://127.0.0.1:{port}", home / "api-server.log")
    with server.log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "airflow", "api-server"],
            env=of_airflow,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(server, process)
            yield server
        finally:
            # Nothing is to be saved, and Python takes seconds to tidy up all of Airflow.
            process.kill()
            process.wait()


def _wait(server: ApiServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if httpx.get(f"{server.url}/api/v2/version", trust_env=False, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        said = server.log.read_text("utf-8", "replace")[-4000:]
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
