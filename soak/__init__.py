"""An hour of everything at once, under faults: ``make soak``.

Everything that it makes is in ``.soak`` of the checkout. Every server listens on loopback only.
"""

from demo import PLUGINS, ROOT

HOME = ROOT / ".soak"
"""Where the soak puts everything it makes."""

TARGET = "soak"
"""Name of the target whose DAGs run; it has schedules of minutes instead of hours."""

COLLECTION = "soak"

__all__ = ["COLLECTION", "HOME", "PLUGINS", "ROOT", "TARGET"]
