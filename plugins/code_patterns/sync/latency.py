"""How long changes take until a search finds them."""

import time
from array import array
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from code_patterns.sync.diff import Change


class ServerClock:
    """The clock of the database, which the times of the changes come from.

    :param at: its time now
    """

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._read = time.monotonic()

    def now(self) -> datetime:
        """Its time now."""
        return self._at + timedelta(seconds=time.monotonic() - self._read)


class Latencies:
    """Times from a commit until the change could be found, in seconds.

    PostgreSQL does not tell the time of a commit. It lies between two looks, and after the transaction's begin.

    :param since: changes committed before are not measured: nobody looked then
    """

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._seconds = array("d")

    def add(self, changes: Sequence[Change], now: datetime) -> None:
        """Add changes that can be found now.

        :param changes: with the earliest time of their commit as ``changed_at``
        """
        self._seconds.extend(
            (now - change.changed_at).total_seconds()
            for change in changes
            if change.changed_at and change.changed_at >= self._since
        )

    def quantile(self, share: float) -> float | None:
        """The latency that this share of the changes did not exceed, in seconds; ``None`` if none was measured."""
        return float(np.quantile(self._seconds, share)) if self._seconds else None
