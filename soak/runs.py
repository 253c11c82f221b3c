"""All runs as Airflow tells them, and for each success whether it was one."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg

from demo.errors import DemoError
from demo.rest import AirflowApi
from soak.comparison import BothSides, Differences, differences
from soak.ledger import Change, Ledger
from soak.records import RunSeen
from soak.samples import Sampler
from soak.stage import FULL, INCREMENTAL, QUALITY, STREAM

SECONDS = 2.0
WATCHED = {FULL: "nightly", INCREMENTAL: "hourly", STREAM: "stream", QUALITY: "scoring"}
_TASK = {FULL: "sync", INCREMENTAL: "sync", STREAM: "stream"}
_HANDED_OVER = "compare"
"""Task of a stream that starts a comparison of everything; it is skipped otherwise."""
COMPARE_SECONDS = 60.0
"""How long to try to compare after a success, while a fault keeps a side away."""


class RunWatcher(threading.Thread):
    """Looks at all runs until it is ended, and compares both sides after each success.

    :param api: Airflow; this thread's own client
    :param sides: both sides
    :param ledger: what was committed
    :param sampler: knows the horizons, and is told the streams' processes
    """

    def __init__(self, api: AirflowApi, sides: BothSides, ledger: Ledger, sampler: Sampler) -> None:
        super().__init__(name="runs", daemon=True)
        self._api = api
        self._sides = sides
        self._ledger = ledger
        self._sampler = sampler
        self._ending = threading.Event()
        self.runs: dict[tuple[str, str, str], RunSeen] = {}
        self.error: Exception | None = None

    def end(self) -> None:
        """Look no more."""
        self._ending.set()
        self.join()

    def run(self) -> None:
        """Look at the runs."""
        while not self._ending.wait(SECONDS):
            try:
                self.look()
            except DemoError:
                # The API server is down, or its database is busy.
                continue
            except Exception as error:
                self.error = error
                return

    def look(self) -> None:
        """Look once.

        :raises DemoError: Airflow does not answer
        """
        for dag_id, kind in WATCHED.items():
            path = f"/api/v2/dags/{dag_id}/dagRuns"
            answer = self._api.request("GET", path, params={"order_by": "-id", "limit": 20})
            for found in answer["dag_runs"]:
                self._take(dag_id, kind, found)

    def _take(self, dag_id: str, kind: str, found: Mapping[str, Any]) -> None:
        kind = "backfill" if found["run_type"] == "backfill" else kind
        # A backfill works with the runs that its hours have had.
        key = dag_id, found["dag_run_id"], kind
        before = self.runs.get(key)
        if before and before.is_over:
            return
        seen = RunSeen(kind, key[1], found["state"], _seconds(found["start_date"]), _seconds(found["end_date"]))
        if seen.state == "success" and dag_id in _TASK:
            seen = self._checked(seen, dag_id, found)
        elif dag_id == STREAM and seen.state == "running":
            self._note_process(found["dag_run_id"])
        self.runs[key] = seen

    def _checked(self, seen: RunSeen, dag_id: str, found: Mapping[str, Any]) -> RunSeen:
        tasks = self._tasks(dag_id, seen.run_id)
        task = tasks.get(_TASK[dag_id], {})
        if task.get("state") != "success" or tasks.get(_HANDED_OVER, {}).get("state") == "success":
            # Another stream was up, so this one was skipped; or it said that only a comparison of everything can go on.
            return seen
        begin = _seconds(task["start_date"])
        promised = self._ledger.promised(self._sampler.horizon(begin), begin)
        interval = (found["data_interval_start"], found["data_interval_end"]) if seen.kind == "backfill" else None
        missed = self._missed(promised, interval)
        if missed is None:
            return seen
        return replace(seen, promised=len(promised), missed=str(missed) if missed.ids else "")

    def _missed(self, promised: Mapping[UUID, Change], interval: tuple[str, str] | None) -> Differences | None:
        """What of the promised changes is not there; ``None`` if a side cannot be read."""
        deadline = time.monotonic() + COMPARE_SECONDS
        while time.monotonic() < deadline:
            try:
                if interval:
                    created = {row for (row,) in self._sides.ask("created_in", start=interval[0], end=interval[1])}
                    promised = {node_id: change for node_id, change in promised.items() if node_id in created}
                parked = {row for row, _ in self._sides.ask("parked")}
                points, rows = self._sides.points(), self._sides.rows()
            except (psycopg.Error, httpx.HTTPError):
                time.sleep(1)
                continue
            found = differences(rows, points)
            judged = self._ledger.unchanged(promised) - parked
            return Differences(found.missing & judged, found.orphaned & judged, found.different & judged)
        return None

    def _note_process(self, run_id: str) -> None:
        task = self._tasks(STREAM, run_id).get(_TASK[STREAM], {})
        if task.get("state") == "running" and task.get("pid"):
            self._sampler.streams.add(int(task["pid"]))

    def _tasks(self, dag_id: str, run_id: str) -> Mapping[str, Mapping[str, Any]]:
        """The tasks of a run, by id."""
        answer = self._api.request("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        return {task["task_id"]: task for task in answer["task_instances"]}


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0
