"""What the sync costs, beside the limits of its parts and beside what else a user could pick.

``python -m benchmarks`` starts the servers, runs every measurement in a process of its own, prints a Markdown table and
writes ``results.json``. ``jobs`` holds what this project runs, ``peers`` what others run, in an environment of their
own; ``scenarios`` puts the measurements into an order in which neither side has the quieter machine.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PLUGINS = ROOT / "plugins"
if str(PLUGINS) not in sys.path:
    sys.path.insert(0, str(PLUGINS))
