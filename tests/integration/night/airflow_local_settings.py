"""Cluster policy of the night's Airflow: the clock says which of a DAG's own hours have come.

The timetables stay the bundle's. Those of the past two days are caught up, as after a weekend without Airflow, and
``clock.json`` beside this file gives the first and the last of them by DAG. So a night comes when a test says so, and
still it is the scheduler that starts it.
"""

import importlib
import json
import sys
from datetime import datetime
from pathlib import Path

if {"scheduler", "dag-processor"}.intersection(sys.argv):
    # These two fork a child for every task and file. What the parent has imported costs the children nothing.
    for name in ("asyncpg", "numpy", "psycopg", "qdrant_client"):
        importlib.import_module(name)

CLOCK = Path(__file__).with_name("clock.json")
FASTER = 120
"""How many times faster the waits between the tries of a task are over."""


def dag_policy(dag):  # type: ignore[no-untyped-def]  # the name and the signature are Airflow's
    """Let the DAG's schedule begin and end as the clock says, and its waits between tries be short."""
    for task in dag.tasks:
        task.retry_delay /= FASTER
        if task.max_retry_delay:
            task.max_retry_delay /= FASTER
    if ticks := json.loads(CLOCK.read_text()).get(dag.dag_id):
        dag.catchup = True
        dag.start_date, dag.end_date = map(datetime.fromisoformat, ticks)
        for task in dag.tasks:
            # The earliest date of all counts, and a task has taken over the one that the DAG had.
            task.start_date = None
