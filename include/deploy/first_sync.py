"""Migrate, run one full sync and unpause the DAGs: the Compose service ``pattern-sync-init``.

It starts ordinary runs through Airflow's REST API: they are logged and visible in the UI. The DAGs are unpaused at the
first start only. The stream is not, because it costs a task slot, nor the backup, because it costs disk: a person
decides. Afterwards a paused DAG was paused by a person, and stays so. The exit status is 0 if the full sync has proven
parity, or if a person has paused it.
"""

import os
import sys
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tenacity import retry, retry_if_exception, stop_after_delay, wait_exponential

MIGRATION = "schema_migration"
FULL_SYNC = "pattern_sync_full"
MIGRATED = (FULL_SYNC, "pattern_verify", "quality_backfill", "pattern_analytics", "pattern_maintenance")
"""Unpaused after the first migration. The scores follow the full sync of their own accord."""
INCREMENTAL_SYNC = "pattern_sync_incremental"
"""Unpaused after the first proof."""
STARTED = "pattern_sync_started"
"""The Variable that says that the first start is over. Without it, the next start unpauses the DAGs again."""

SHOWN = (
    "examined",
    "new",
    "changed",
    "words_only",
    "payload_only",
    "unchanged",
    "deleted",
    "parked",
    "seconds",
    "parity",
)
PARSED_WITHIN_SECONDS = 300
POLL_SECONDS = 3
REPORT_EVERY_SECONDS = 60
LOG_LINES = 20


class FirstSyncError(Exception):
    """Why parity is not proven, for the person who started the services."""


class TokenAuth(httpx.Auth):
    """Log in whenever a request is refused: a first sync may take longer than a token is valid."""

    requires_response_body = True

    def __init__(self, url: str, username: str, password: str) -> None:
        self._login = httpx.Request("POST", f"{url}/auth/token", json={"username": username, "password": password})
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the present token; if that is refused, get a new token and send it again."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        if (yield request).status_code == httpx.codes.UNAUTHORIZED:
            answer = yield self._login
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                raise FirstSyncError(
                    "Airflow refused the password of the user 'admin'. With Compose, run 'docker compose up --detach "
                    "--force-recreate airflow-apiserver': it starts with the password in secrets/ now."
                )
            self._token = answer.raise_for_status().json()["access_token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


def passes(error: BaseException) -> bool:
    """Whether the next request may succeed, for example because the API server is restarting."""
    return isinstance(error, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError) or (
        isinstance(error, httpx.HTTPStatusError) and error.response.status_code >= 500
    )


class Airflow:
    """The few calls of Airflow's REST API that a first sync needs.

    :param url: root of the API server
    :param password: password of the user ``admin``
    """

    def __init__(self, url: str, password: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/api/v2/", auth=TokenAuth(url, "admin", password), timeout=30)

    @retry(
        retry=retry_if_exception(passes),
        wait=wait_exponential(max=10),
        stop=stop_after_delay(300),
        reraise=True,
    )
    def call(self, method: str, path: str, *, accept: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        """Send one request; return status codes in ``accept`` instead of raising them."""
        answer = self._client.request(method, path, **options)
        return answer if answer.status_code in accept else answer.raise_for_status()

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until the DAG processor has parsed the DAG.

        :raises FirstSyncError: it is not there in time; the message holds the import errors
        """
        deadline = time.monotonic() + PARSED_WITHIN_SECONDS
        while self.call("GET", f"dags/{dag_id}", accept=(404,)).status_code == httpx.codes.NOT_FOUND:
            if time.monotonic() > deadline:
                errors = self.call("GET", "importErrors").json()["import_errors"]
                raise FirstSyncError(
                    f"Airflow knows no DAG '{dag_id}' after {PARSED_WITHIN_SECONDS} seconds. "
                    + (
                        "\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
                        or "No file had errors: look at the log of airflow-dag-processor."
                    )
                )
            time.sleep(POLL_SECONDS)

    def is_paused(self, dag_id: str) -> bool:
        """Whether the scheduler leaves the DAG alone."""
        return bool(self.call("GET", f"dags/{dag_id}").json()["is_paused"])

    def has_started(self) -> bool:
        """Whether the first start is over."""
        return self.call("GET", f"variables/{STARTED}", accept=(404,)).status_code != httpx.codes.NOT_FOUND

    def note_start(self) -> None:
        """Note that the first start is over."""
        variable = {
            "key": STARTED,
            "value": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "description": "The first full sync was proven, and the DAGs were unpaused. Delete this to do it again.",
        }
        # A repeated request finds what an earlier one stored before its answer was lost.
        self.call("POST", "variables", accept=(409,), json=variable)

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self.call("PATCH", f"dags/{dag_id}", params={"update_mask": "is_paused"}, json={"is_paused": False})

    def run(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Run the DAG once and wait for its end, however long it takes.

        :return: the run's id
        :raises FirstSyncError: the run failed; the message holds the end of the failed tasks' logs
        """
        # With an id of our own, a repeated request starts no second run when the first answer was lost.
        run_id = f"first_sync__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
        self.call(
            "POST",
            f"dags/{dag_id}/dagRuns",
            accept=(409,),
            json={"dag_run_id": run_id, "logical_date": None, "conf": conf},
        )
        print(f"{dag_id}: started", flush=True)
        started = reported = time.monotonic()
        while (state := self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}").json()["state"]) not in (
            "success",
            "failed",
        ):
            if time.monotonic() - reported >= REPORT_EVERY_SECONDS:
                reported = time.monotonic()
                print(f"{dag_id}: {state} for {reported - started:.0f} s", flush=True)
            time.sleep(POLL_SECONDS)
        if state == "failed":
            raise FirstSyncError(f"The run of '{dag_id}' failed.\n{self._failures(dag_id, run_id)}")
        print(f"{dag_id}: done after {time.monotonic() - started:.0f} s", flush=True)
        return run_id

    def result(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return what the task returned."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        value: dict[str, Any] = self.call("GET", path, params={"stringify": False}).json()["value"]
        return value

    def successes(self, dag_id: str, since: datetime) -> list[str]:
        """Return the ids of the DAG's successful runs that started after this moment, in that order."""
        query = {"state": "success", "start_date_gte": since.isoformat(), "order_by": "start_date"}
        runs = self.call("GET", f"dags/{dag_id}/dagRuns", params=query).json()["dag_runs"]
        return [run["dag_run_id"] for run in runs]

    def _failures(self, dag_id: str, run_id: str) -> str:
        """Return the last lines of every failed task's log."""
        tasks = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        parts = []
        for task in self.call("GET", tasks, params={"state": "failed"}).json()["task_instances"]:
            path, number = f"{tasks}/{task['task_id']}/logs/{task['try_number']}", {"map_index": task["map_index"]}
            log = self.call("GET", path, params=number).json()["content"]
            lines = [text for entry in log if not (text := in_words(entry)).startswith("::")]
            parts.append(f"End of the log of task '{task['task_id']}':\n" + "\n".join(lines[-LOG_LINES:]))
        return "\n".join(parts)


def in_words(entry: str | dict[str, Any]) -> str:
    """Return an entry of a task log as text, with the messages of the exceptions it carries."""
    if isinstance(entry, str):
        return entry
    causes = entry.get("error_detail") or []
    return "\n  ".join([entry.get("event", ""), *(f"{cause['exc_type']}: {cause['exc_value']}" for cause in causes)])


def admin_password() -> str:
    """Return the password: the content of the file AIRFLOW_ADMIN_PASSWORD_FILE, else AIRFLOW_ADMIN_PASSWORD.

    :raises FirstSyncError: neither is set, or the file cannot be read
    """
    if file := os.environ.get("AIRFLOW_ADMIN_PASSWORD_FILE"):
        try:
            return Path(file).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise FirstSyncError(f"The file that AIRFLOW_ADMIN_PASSWORD_FILE names cannot be read: {error}") from error
    if password := os.environ.get("AIRFLOW_ADMIN_PASSWORD"):
        return password
    raise FirstSyncError(
        "The password of the user 'admin' is not known. Set AIRFLOW_ADMIN_PASSWORD_FILE to a file that holds it, or "
        "AIRFLOW_ADMIN_PASSWORD."
    )


def api_url() -> str:
    """Return the root of the API server.

    :raises FirstSyncError: AIRFLOW_API_URL is not set
    """
    if url := os.environ.get("AIRFLOW_API_URL"):
        return url.rstrip("/")
    raise FirstSyncError("Set AIRFLOW_API_URL to the root of Airflow's API server, such as http://localhost:8080.")


def main() -> None:
    """Migrate, sync, check the proof; at the first start unpause the DAGs.

    :raises FirstSyncError: the environment is wrong, a run failed, parity is not proven, or migrations are paused
    """
    airflow = Airflow(api_url(), admin_password())
    for dag_id in (MIGRATION, *MIGRATED, INCREMENTAL_SYNC):
        airflow.wait_for_dag(dag_id)
    first = not airflow.has_started()
    if first:
        airflow.unpause(MIGRATION)
    if airflow.is_paused(MIGRATION):
        raise FirstSyncError(f"'{MIGRATION}' is paused, so the schema cannot be brought up to date. Unpause it.")
    airflow.run(MIGRATION, {"dry_run": False})
    if first:
        for dag_id in MIGRATED:
            airflow.unpause(dag_id)
    if airflow.is_paused(FULL_SYNC):
        print(f"'{FULL_SYNC}' is paused and stays so: nothing is synced, nothing is proven.", flush=True)
        return
    prove(airflow)
    if first:
        airflow.unpause(INCREMENTAL_SYNC)
        airflow.note_start()
        print("Parity is proven. All DAGs but pattern_sync_stream and pattern_backup are unpaused.", flush=True)
    else:
        print("Parity is proven. DAGs that are paused stay paused.", flush=True)


def prove(airflow: Airflow) -> None:
    """Run a full sync, and print what it and others of its time did.

    :raises FirstSyncError: it failed, or parity is not proven
    """
    began = datetime.now(UTC)
    own_run = airflow.run(FULL_SYNC, {})
    # Once unpaused, Airflow also makes up for last night's run. Whichever run came first did the work.
    for run_id in airflow.successes(FULL_SYNC, began):
        counts = airflow.result(FULL_SYNC, run_id, "sync")
        print(f"{run_id}: " + ", ".join(f"{name} {counts[name]}" for name in SHOWN), flush=True)
    parity = airflow.result(FULL_SYNC, own_run, "sync").get("parity")
    if parity != "proven":
        raise FirstSyncError(
            f"Parity is {parity}. The log of the run of '{FULL_SYNC}' says what differs. Repair that, then try again "
            "with 'docker compose up pattern-sync-init'."
        )


if __name__ == "__main__":
    try:
        main()
    except FirstSyncError as error:
        sys.exit(f"pattern-sync-init: {error}")
    except httpx.HTTPError as error:
        sys.exit(f"pattern-sync-init: Airflow's API failed: {error}")
