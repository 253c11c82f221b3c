"""What the sync costs, beside the limits of its parts and beside other tools.

``python -m benchmarks`` starts the servers, runs each measurement in its own process, prints a Markdown table and
writes ``results.json``. ``jobs`` is what this project runs. ``peers`` is what other tools run, in their own
environment. ``scenarios`` orders the measurements so that noise of the machine meets all sides alike.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PLUGINS = ROOT / "plugins"
if str(PLUGINS) not in sys.path:
    sys.path.insert(0, str(PLUGINS))
