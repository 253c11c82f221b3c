"""What the soak's Airflow does otherwise: waits between the tries of a task are short, as its hours are."""

import gc
import importlib
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG

if {"scheduler", "dag-processor"}.intersection(sys.argv):
    # These two fork a child for every task and file. What the parent has imported costs the children nothing.
    for name in ("asyncpg", "numpy", "psycopg", "qdrant_client"):
        importlib.import_module(name)

COLLECT_SECONDS = 60.0


def _collect() -> None:
    while True:
        time.sleep(COLLECT_SECONDS)
        gc.collect()


if "api-server" in sys.argv:
    # It makes a DAG anew for every question about its runs, and leaves it in cycles. Python collects all of them when
    # a quarter of its objects are new, which takes hours: until then they would look like a leak.
    threading.Thread(target=_collect, name="collector", daemon=True).start()

FASTER = 20
"""How many times faster the waits are over: the schedules run so many times more often, too."""


def dag_policy(dag: "DAG") -> None:
    """Shorten the waits between the tries of each task."""
    for task in dag.tasks:
        task.retry_delay /= FASTER
        if task.max_retry_delay:
            task.max_retry_delay /= FASTER
