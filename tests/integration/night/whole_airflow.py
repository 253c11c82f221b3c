"""A whole Airflow, as ``airflow standalone`` starts it, for tests."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import ROOT

POLICY = Path(__file__).with_name("airflow_local_settings.py")
SCHEDULED = ("pattern_sync_incremental", "pattern_sync_full", "pattern_analytics", "pattern_maintenance")
NEVER = "2100-01-01T00:00:00+00:00"
PATIENCE = 240.0
"""Most seconds that a test waits for one thing to happen; a busy machine needs some."""


class WholeAirflow:
    """The running Airflow, over its REST API.

    :param home: its ``AIRFLOW_HOME``
    :param url: address of its API server
    :param environment: the environment of its processes
    """

    def __init__(self, home: Path, url: str, environment: Mapping[str, str]) -> None:
        self.home = home
        self.url = url
        self._environment = environment
        self._started: list[subprocess.Popen[bytes]] = []
        self._client = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start ``airflow`` with a command, such as ``dag-processor``, in a session of its own."""
        with (self.home / "standalone.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self._environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request below ``/api/v2``."""
        return self._client.request(method, f"/api/v2/{path}", **options)

    def get(self, path: str, **options: Any) -> Any:
        """Send a request that must succeed."""
        answer = self.request("GET", path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def wait(self, what: str, found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Wait until something is found, and return it."""
        deadline = time.monotonic() + seconds
        while not (value := found()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s\n{self.log()[-6000:]}"
            time.sleep(1)
        return value

    def log(self) -> str:
        """What its processes have printed."""
        return (self.home / "standalone.log").read_text("utf-8", "replace")

    def ready(self, dags: set[str]) -> None:
        """Wait until all four components are healthy and the DAGs are parsed."""

        def healthy() -> bool:
            try:
                answer = self._client.get("/api/v2/monitor/health")
                token = self._client.get("/auth/token")
            except httpx.TransportError:
                return False
            if not (answer.is_success and token.is_success):
                return False
            self._client.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            return all(part["status"] == "healthy" for part in answer.json().values())

        self.wait("a healthy Airflow", healthy)

        def parsed() -> bool:
            assert self.get("importErrors")["import_errors"] == []
            return dags <= {dag["dag_id"] for dag in self.get("dags")["dags"]}

        self.wait("the DAGs", parsed)

    def let_come(self, dag_id: str, first: datetime, last: datetime) -> None:
        """Let the hours of a DAG's schedule between two of them come, both included."""
        clock = self.home / "config" / "clock.json"
        ticks = json.loads(clock.read_text())
        clock.write_text(json.dumps({**ticks, dag_id: [first.isoformat(), last.isoformat()]}))
        # Airflow stores the next hour before the new end. A run that starts between them has no task, and succeeds.
        self.pause(dag_id)
        self.parse(dag_id)

        def known() -> bool:
            end = self.get(f"dags/{dag_id}/details")["end_date"]
            return bool(end) and datetime.fromisoformat(end) == last

        self.wait(f"the new hours of {dag_id}", known)
        self.pause(dag_id, False)

    def parse(self, dag_id: str) -> None:
        """Let the file of a DAG be parsed again, which otherwise never happens here."""
        answer = self.request("PUT", f"parseDagFile/{self.get(f'dags/{dag_id}')['file_token']}")
        assert answer.status_code == httpx.codes.CREATED, answer.text

    def set_variable(self, name: str, value: str) -> None:
        """Set a Variable as a person does."""
        self.request("DELETE", f"variables/{name}")
        answer = self.request("POST", "variables", json={"key": name, "value": value})
        assert answer.is_success, answer.text

    def pause(self, dag_id: str, paused: bool = True) -> None:
        """Pause a DAG as a person does, or unpause it."""
        answer = self.request("PATCH", f"dags/{dag_id}", json={"is_paused": paused})
        assert answer.is_success, answer.text

    def paused(self) -> set[str]:
        """The DAGs that are paused."""
        return {dag["dag_id"] for dag in self.get("dags", params={"paused": True})["dags"]}

    def trigger(self, dag_id: str, **params: Any) -> str:
        """Start a run as a person does, and return its id."""
        answer = self.request("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": params})
        assert answer.is_success, answer.text
        return str(answer.json()["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The DAG's runs, the oldest first."""
        return list(self.get(f"dags/{dag_id}/dagRuns", params={"order_by": "id", "limit": 100})["dag_runs"])

    def finished(self, dag_id: str, number: int) -> dict[str, Any]:
        """Wait for the end of a DAG's run, by its number from 1, and return it."""

        def ended() -> dict[str, Any] | None:
            run = next(iter(self.runs(dag_id)[number - 1 :]), None)
            return run if run and run["state"] in ("success", "failed") else None

        return dict(self.wait(f"the end of run {number} of {dag_id}", ended))

    def succeeded(self, dag_id: str, number: int = 1) -> dict[str, Any]:
        """Wait for the success of a DAG's run."""
        run = self.finished(dag_id, number)
        assert run["state"] == "success", self.task_logs(dag_id, run["dag_run_id"])
        return run

    def done(self, dag_id: str, run_id: str) -> None:
        """Wait for the success of a run, by its id."""

        def state() -> str | None:
            found = str(self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"])
            return found if found in ("success", "failed") else None

        assert self.wait(f"the end of {run_id}", state) == "success", self.task_logs(dag_id, run_id)

    def scheduled(self, dag_id: str, hour: datetime) -> str | None:
        """The id of a DAG's scheduled run, by the start of its interval."""
        for run in self.runs(dag_id):
            if run["run_type"] == "scheduled" and datetime.fromisoformat(run["data_interval_start"]) == hour:
                return str(run["dag_run_id"])
        return None

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """The task instances of a run by task."""
        found = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
        """The tries of a task, the first one first."""
        found = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/tries")["task_instances"]
        return sorted(found, key=lambda task: int(task["try_number"]))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """An XCom of a task."""
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}")["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
        """The lines of one try's log."""
        content = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}")["content"]
        return [entry["event"] for entry in content if isinstance(entry, dict)]

    def task_logs(self, dag_id: str, run_id: str) -> str:
        """The ends of all logs of a run, for a message."""
        ends = []
        for task_id, task in self.tasks(dag_id, run_id).items():
            if tries := task["try_number"]:
                ends += [f"{task_id} {task['state']}:", *self.task_log(dag_id, run_id, task_id, tries)[-15:]]
        return "\n".join(ends)

    def processes(self, word: str) -> list[psutil.Process]:
        """Its processes whose title holds a word."""
        found = []
        sessions = {process.pid for process in self._started}
        for pid in psutil.pids():
            with contextlib.suppress(OSError, psutil.Error):
                process = psutil.Process(pid)
                alive = os.getsid(pid) in sessions and process.status() != psutil.STATUS_ZOMBIE
                if alive and word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    @contextmanager
    def halted(self, *words: str) -> Iterator[None]:
        """Halt the processes whose title holds one of the words, and let them go on afterwards."""
        halted = [process for word in words for process in self.processes(word)]
        for process in halted:
            process.suspend()
        try:
            yield
        finally:
            for process in halted:
                process.resume()

    def end(self) -> None:
        """Kill all its processes."""
        self._client.close()
        while left := self.processes(""):
            for member in left:
                with contextlib.suppress(psutil.Error):
                    member.send_signal(signal.SIGKILL)
            time.sleep(0.05)
        for process in self._started:
            process.wait()


@contextmanager
def whole_airflow(home: Path, metadata: str, environment: Mapping[str, str]) -> Iterator[WholeAirflow]:
    """Run ``airflow standalone`` with the checkout as its bundle.

    :param home: its ``AIRFLOW_HOME``, an empty folder
    :param metadata: DSN of its own database on PostgreSQL
    :param environment: connections and Variables
    """
    (home / "config").mkdir()
    shutil.copy(POLICY, home / "config")
    (home / "config" / "clock.json").write_text(json.dumps(dict.fromkeys(SCHEDULED, (NEVER, NEVER))))
    api, worker_logs, trigger_logs = (_free_port() for _ in range(3))
    url = f"http://127.0.0.1:{api}"
    bundle = {
        "name": "patterns",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(ROOT)},
    }
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _sqlalchemy_url(metadata),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # A busy machine needs long for a file.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(api),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        # Files are parsed once, and again when a test asks for it.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3600",
        # A file that changes twice within half a minute is stored twice.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "plugins"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **environment,
    }
    airflow = WholeAirflow(home, url, {**os.environ, **settings})
    airflow.start("standalone")
    try:
        yield airflow
    finally:
        airflow.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _sqlalchemy_url(dsn: str) -> str:
    parts = conninfo_to_dict(dsn)
    return f"postgresql+psycopg2://{parts['user']}@/{parts['dbname']}?host={parts['host']}"
