"""The main job on real Airflow with data of its own: ``make demo`` and ``make ui``.

Everything that these commands make is in ``.demo`` of the checkout. Every server listens on loopback only.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout, which is also the DAG bundle."""

HOME = ROOT / ".demo"
"""Where the demo puts everything it makes."""

PLUGINS = ROOT / "plugins"
if str(PLUGINS) not in sys.path:
    sys.path.insert(0, str(PLUGINS))
