"""What was committed, and when: the harness's own memory, by which the sync is judged."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Change:
    """The last change of a row.

    :param xid: its transaction
    :param at: seconds since the epoch, just after COMMIT returned
    """

    xid: int
    at: float


class Ledger:
    """The last change of every row, and the rows that are being changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: dict[UUID, Change] = {}
        self._pending: dict[UUID, Change] = {}
        self._touched: Counter[UUID] = Counter()
        self.commits = 0

    @contextmanager
    def touching(self, ids: Sequence[UUID]) -> Iterator[None]:
        """Mark rows that are being changed: what they hold is not known until :meth:`changed`."""
        with self._lock:
            self._touched.update(ids)
        try:
            yield
        finally:
            with self._lock:
                self._touched.subtract(ids)

    def changed(self, ids: Sequence[UUID], xid: int) -> None:
        """Take a change whose COMMIT has just returned, or whose end is unknown because the session was lost."""
        change = Change(xid, time.time())
        with self._lock:
            self.commits += 1
            for node_id in ids:
                self._changes[node_id] = self._pending[node_id] = change

    def promised(self, horizon: int, before: float) -> Mapping[UUID, Change]:
        """The changes that a run must have taken.

        :param horizon: all transactions below were over when the run began
        :param before: when the run began, in seconds since the epoch
        """
        with self._lock:
            return {
                node_id: change
                for node_id, change in self._changes.items()
                if change.xid < horizon and change.at < before
            }

    def pending(self) -> Mapping[UUID, Change]:
        """The changes that nobody has seen in Qdrant yet."""
        with self._lock:
            return dict(self._pending)

    def arrived(self, seen: Mapping[UUID, Change]) -> None:
        """Take changes that were seen in Qdrant."""
        with self._lock:
            for node_id, change in seen.items():
                if self._pending.get(node_id) == change:
                    del self._pending[node_id]

    def unchanged(self, changes: Mapping[UUID, Change]) -> set[UUID]:
        """Those rows that still are what these changes made of them, and are not being changed."""
        with self._lock:
            return {
                node_id
                for node_id, change in changes.items()
                if self._changes.get(node_id) == change and not self._touched[node_id]
            }
