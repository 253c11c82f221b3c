"""Airflow's REST API, as far as the demo needs it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from demo.errors import DemoError

FINISHED = {"success", "failed"}
FAILED = {"failed", "up_for_retry"}


@dataclass(frozen=True)
class Run:
    """A DAG run.

    :param dag_id: its DAG
    :param run_id: its name
    :param state: as Airflow calls it, such as ``queued``, ``running``, ``success`` or ``failed``
    :param seconds: from its start to its end; 0 before that
    """

    dag_id: str
    run_id: str
    state: str
    seconds: float

    @property
    def is_finished(self) -> bool:
        """Whether it succeeded or failed."""
        return self.state in FINISHED


class AirflowApi:
    """A client that logs in with user and password.

    :param url: root of the API server
    :param user: user name
    :param password: password
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        # trust_env: requests to loopback must not go through a proxy of the environment.
        self._client = httpx.Client(base_url=url, timeout=120, trust_env=False)
        self._login = {"username": user, "password": password}

    def is_up(self) -> bool:
        """Whether the server answers and the scheduler and the DAG processor are alive."""
        try:
            answer = self._client.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        health = answer.json()
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    def log_in(self) -> None:
        """Get a token for the requests that follow."""
        token = self.request("POST", "/auth/token", json=self._login)["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def add_connection(self, connection_id: str, conn_type: str, **fields: object) -> bool:
        """Create a connection; if one of that name exists, change nothing and return false."""
        return self._add("connections", {"connection_id": connection_id, "conn_type": conn_type, **fields})

    def replace_connection(self, connection_id: str, conn_type: str, **fields: object) -> None:
        """Create a connection or replace the one of that name."""
        if not self.add_connection(connection_id, conn_type, **fields):
            body = {"connection_id": connection_id, "conn_type": conn_type, **fields}
            self.request("PATCH", f"/api/v2/connections/{connection_id}", json=body)

    def add_variable(self, key: str, value: str, description: str) -> bool:
        """Create a Variable; if one of that name exists, change nothing and return false."""
        return self._add("variables", {"key": key, "value": value, "description": description})

    def add_pool(self, name: str, slots: int, description: str) -> bool:
        """Create a pool; if one of that name exists, change nothing and return false."""
        body = {"name": name, "slots": slots, "include_deferred": False, "description": description}
        return self._add("pools", body)

    def dag_ids(self) -> set[str]:
        """Return the DAGs that are parsed so far."""
        return {dag["dag_id"] for dag in self.request("GET", "/api/v2/dags", params={"limit": 100})["dags"]}

    def import_errors(self) -> list[str]:
        """Return the import errors of DAG files."""
        answer = self.request("GET", "/api/v2/importErrors")
        return [f"{error['filename']}\n{error['stack_trace']}" for error in answer["import_errors"]]

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run a DAG."""
        self.request("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, params: Mapping[str, Any]) -> Run:
        """Unpause a DAG and start a run of it.

        :param dag_id: the DAG
        :param params: Params of the run
        """
        self.unpause(dag_id)
        body = {"logical_date": None, "conf": dict(params)}
        return _run(self.request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body))

    def refresh(self, run: Run) -> Run:
        """Return a run as it is now; a task that waits for a retry counts as failed."""
        now = _run(self.request("GET", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}"))
        if not now.is_finished and self._failed_task(run):
            return replace(now, state="failed")
        return now

    def finish(self, run: Run, waiting: Callable[[], None], timeout: float) -> Run:
        """Wait for the end of a run.

        :param run: the run
        :param waiting: called now and then while waiting
        :param timeout: seconds to wait
        :raises DemoError: the run has not ended within that time
        """
        deadline = time.monotonic() + timeout
        while not (now := self.refresh(run)).is_finished:
            if time.monotonic() > deadline:
                raise DemoError(f"{run.dag_id} has not ended within {timeout:.0f} s; its state is {now.state}.")
            waiting()
            time.sleep(0.2)
        return now

    def tasks(self, run: Run) -> Sequence[Mapping[str, Any]]:
        """Return the run's task instances as the REST API describes them."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        return list(self.request("GET", path)["task_instances"])

    def result(self, run: Run, task_id: str) -> Any:
        """Return what a task of the run returned."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.request("GET", path)["value"]

    def failed_task_log(self, run: Run) -> list[str]:
        """Return the log of the run's first failed task, line by line; empty if none failed."""
        task = self._failed_task(run)
        if task is None:
            return []
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task['task_id']}"
        content = self.request("GET", f"{path}/logs/{task['try_number']}")["content"]
        # Lines without a level say where the log is; lines with "::" fold it in the UI.
        return [_line(entry) for entry in content if entry.get("level") and not entry["event"].startswith("::")]

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request and return the decoded answer.

        :raises DemoError: the server does not answer
        :raises DemoError: it answers with an error
        """
        try:
            answer = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise DemoError(f"Airflow's API server does not answer: {error}") from None
        if answer.is_error:
            raise _refused(method, path, answer)
        return answer.json()

    def _failed_task(self, run: Run) -> Mapping[str, Any] | None:
        return next((task for task in self.tasks(run) if task["state"] in FAILED), None)

    def _add(self, collection: str, body: Mapping[str, object]) -> bool:
        path = f"/api/v2/{collection}"
        answer = self._client.post(path, json=body)
        if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
            raise _refused("POST", path, answer)
        return not answer.is_error


def _run(answer: Mapping[str, Any]) -> Run:
    return Run(answer["dag_id"], answer["dag_run_id"], answer["state"], float(answer["duration"] or 0.0))


def _refused(method: str, path: str, answer: httpx.Response) -> DemoError:
    return DemoError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:500]}")


def _line(entry: Mapping[str, Any]) -> str:
    detail = "".join(f"\n    {error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ())
    return f"{entry['timestamp'][11:19]} {entry['level']:8} {entry['event']}{detail}"
