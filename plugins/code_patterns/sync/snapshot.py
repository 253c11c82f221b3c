"""Which transactions are over, and which changes lie between two such points.

A row carries the id of the transaction that last changed it. Ids are given at the first write, not at the commit, so
they alone do not say what is new: a snapshot does.
"""

from dataclasses import dataclass
from functools import cached_property

from code_patterns.sync.diff import LAST_ID, Watermark


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of PostgreSQL: which transactions are over.

    :param text: as ``pg_snapshot`` writes it, ``xmin:xmax:`` and the ids between them that are still open
    """

    text: str

    @classmethod
    def before(cls, xid: int) -> "Snapshot":
        """The snapshot in which exactly the transactions before this one are over."""
        return cls(f"{xid}:{xid}:")

    @cached_property
    def horizon(self) -> int:
        """The oldest transaction still open: all before it are over."""
        return int(self.text.split(":")[0])

    @property
    def watermark(self) -> Watermark:
        """The watermark of a run that has taken everything that is over here."""
        return Watermark(self.horizon - 1, LAST_ID)

    def sees(self, xid: int) -> bool:
        """Whether a transaction is over; what it did is then visible."""
        xmin, xmax, _ = self.text.split(":")
        return xid < int(xmin) or (xid < int(xmax) and xid not in self._open)

    @cached_property
    def _open(self) -> frozenset[int]:
        return frozenset(int(xid) for xid in self.text.split(":")[2].split(",") if xid)


NOTHING = Snapshot("1:1:")
"""The snapshot before any transaction."""


@dataclass(frozen=True)
class Span:
    """Changes to read: those after a watermark that one snapshot shows and an earlier one did not.

    :param after: where reading starts, in the order of transactions and ids
    :param until: the snapshot that shows them
    :param seen: the earlier snapshot; by default none, so that the watermark alone decides
    """

    after: Watermark
    until: Snapshot
    seen: Snapshot = NOTHING

    def holds(self, change: Watermark) -> bool:
        """Whether a change lies in this span."""
        return change > self.after and self.until.sees(change.xid) and not self.seen.sees(change.xid)

    def moves_to(self, change: Watermark) -> Watermark | None:
        """How far the watermark may move once this change and all before it in the span are done.

        ``None`` beyond the horizon: an older transaction is still open, and its changes come before this one.
        """
        return change if change.xid < self.until.horizon else None

    @property
    def parameters(self) -> dict[str, object]:
        """The span as parameters of the queries that read it."""
        return {
            "after_xid": self.after.xid,
            "after_id": self.after.id,
            "seen": self.seen.text,
            "until": self.until.text,
        }
