"""Airflow's own database on SQLite, with the bundle's DAGs and no runs, made once for all workers of pytest-xdist."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, SHARED

MAKE = f"""
from airflow.utils.db import upgradedb
upgradedb()
from airflow.dag_processing import dagbag
from airflow.dag_processing.bundles.manager import DagBundlesManager
DagBundlesManager().sync_bundles_to_db()
dags = {str(ROOT / "dags")!r}
bag = dagbag.BundleDagBag(dags, bundle_path=dags, bundle_name="dags-folder")
assert bag.import_errors == {{}}, bag.import_errors
dagbag.sync_bag_to_db(bag, "dags-folder", None)
"""
"""Python code that makes the database which the environment names."""


def copy_database(target: Path) -> None:
    """Copy the database; the first who asks makes it, and the others wait for that.

    :param target: the file to be made
    """
    made = SHARED / "airflow-with-dags.db"
    with (SHARED / "airflow-with-dags.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    shutil.copy(made, target)


def _make(made: Path) -> None:
    home = made.with_suffix(".home")
    home.mkdir(exist_ok=True)
    unfinished = home / "airflow.db"
    unfinished.unlink(missing_ok=True)
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{unfinished}",
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    done = subprocess.run(
        [sys.executable, "-c", MAKE], env=environment, cwd=home, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-4000:]
    unfinished.rename(made)
