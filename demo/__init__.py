"""The main job on real Airflow with data of its own: ``make demo`` and ``make ui``.

Everything these commands make lives in ``.demo`` of the checkout, and nothing listens outside loopback.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout, which is also the DAG bundle."""

HOME = ROOT / ".demo"
"""Where everything goes that the demo makes."""

PLUGINS = ROOT / "plugins"
if str(PLUGINS) not in sys.path:
    sys.path.insert(0, str(PLUGINS))
