"""How long Airflow takes to parse the DAG files with many targets, without a database.

``PYTHONPATH=plugins python -m benchmarks.targets`` parses all DAG files again and again in one process, in turns with
and without a file of 50 targets. Airflow and the bundle's packages are imported before, and the file is read anew each
time. It prints a Markdown table and keeps it in ``results.json``. The fastest rounds count, because other work on the
machine only ever adds time.
"""

import os
import runpy
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import ROOT
from benchmarks.results import save
from benchmarks.table import Row

TARGETS = 50
ROUNDS = 15
ENTRY = """
- name: team_{number}
  collection: team_{number}
  schedules: {{full: "{number} 2 * * *"}}
  filters: {{language: [python, go], project: project_{number}}}
"""


def main() -> None:
    """Measure, print the table, write the results."""
    with tempfile.TemporaryDirectory() as folder:
        # Airflow reads these when it is first imported.
        os.environ.update(AIRFLOW_HOME=folder, AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"))
        file = Path(folder, "targets.yaml")
        file.write_text("".join(ENTRY.format(number=number) for number in range(TARGETS)))
        files = sorted((ROOT / "dags").glob("*.py"))
        _milliseconds(files)
        without, with_them, whole = [], [], []
        for _ in range(ROUNDS):
            os.environ.pop("PATTERNS_TARGETS", None)
            without.append(_milliseconds(files))
            os.environ["PATTERNS_TARGETS"] = str(file)
            file.touch()
            with_them.append(_milliseconds(files))
            file.touch()
            whole.append(_bagged())
    name = f"all DAG files with {TARGETS} targets"
    note = f"{min(without):.0f} ms without the file; {TARGETS * 4} DAGs more"
    rows = [
        Row(name, min(with_them), "ms", "≤ 200", note),
        Row(f"{name}, with what Airflow's DagBag does", min(whole), "ms"),
    ]
    save("targets", f"the fastest of {ROUNDS} rounds", rows)


def _milliseconds(files: list[Path]) -> float:
    """Time that it takes to run the DAG files."""
    begun = time.perf_counter()
    for file in files:
        runpy.run_path(str(file))
    return (time.perf_counter() - begun) * 1e3


def _bagged() -> float:
    """Time that it takes Airflow to find the files, run them and look at their DAGs."""
    from airflow.dag_processing.dagbag import DagBag

    begun = time.perf_counter()
    bag = DagBag(ROOT / "dags")
    taken = (time.perf_counter() - begun) * 1e3
    if bag.import_errors or len(bag.dags) < TARGETS:
        sys.exit(f"The DAG files could not be parsed: {bag.import_errors}")
    return taken


if __name__ == "__main__":
    main()
