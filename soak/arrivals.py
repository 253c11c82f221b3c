"""How soon a committed change is in Qdrant, as the harness sees it."""

import contextlib
import threading
import time
from dataclasses import dataclass

import httpx
import psycopg

from soak.comparison import BothSides, differences
from soak.ledger import Ledger

SECONDS = 0.5


@dataclass(frozen=True)
class Lag:
    """How far Qdrant is behind at a moment.

    :param at: seconds since the epoch
    :param rows: committed changes that are not there
    :param seconds: age of the oldest of them
    """

    at: float
    rows: int
    seconds: float


class Arrivals(threading.Thread):
    """Compares what was changed with what Qdrant holds, until it is ended.

    :param sides: both sides
    :param ledger: what was committed
    """

    def __init__(self, sides: BothSides, ledger: Ledger) -> None:
        super().__init__(name="arrivals", daemon=True)
        self._sides = sides
        self._ledger = ledger
        self._ending = threading.Event()
        self.lags: list[Lag] = []
        self.seconds: list[float] = []
        """Of each change, from its commit until it was seen."""

    def end(self) -> None:
        """Look no more."""
        self._ending.set()
        self.join()

    def run(self) -> None:
        """Look for changes."""
        while not self._ending.wait(SECONDS):
            with contextlib.suppress(psycopg.Error, httpx.HTTPError):
                self._look()
            waiting, now = self._ledger.pending(), time.time()
            oldest = min((change.at for change in waiting.values()), default=now)
            self.lags.append(Lag(now, len(waiting), now - oldest))

    def _look(self) -> None:
        waiting = self._ledger.pending()
        if not waiting:
            return
        ids, now = list(waiting), time.time()
        # The points first: a row that changes in between then looks different, and is looked at again.
        points = self._sides.points(ids)
        wrong = differences(self._sides.rows(ids), points).ids
        seen = {node_id: change for node_id, change in waiting.items() if node_id not in wrong}
        self.seconds += [now - change.at for change in seen.values()]
        self._ledger.arrived(seen)
