"""Checks the file that lists further targets (`include/targets.yaml`, or where `PATTERNS_TARGETS` says).

This file gives Airflow no DAG. The files beside it make the DAGs of the targets. If the list is wrong, they make only
those of the target without a name, and this file is the one import error, which says what to correct.
"""

import sys
from pathlib import Path

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.targets import refuse_wrong_file

refuse_wrong_file()
