"""Which transactions are over, and which changes lie between two such points.

A row carries the id of the transaction that last changed it. Ids are given at the first write, not at the commit, so
they alone do not say what is new: a snapshot does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from code_patterns.sync.diff import LAST_ID, Watermark

NEAR_XIDS = 1_000
"""Open transactions that are no further apart are read together: a query each would cost more."""


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

    @cached_property
    def end(self) -> int:
        """The first transaction that had not begun: neither it nor any later one is over."""
        return int(self.text.split(":")[1])

    def sees(self, xid: int) -> bool:
        """Whether a transaction is over; what it did is then visible."""
        return xid < self.horizon or (xid < self.end and xid not in self.open)

    @cached_property
    def open(self) -> frozenset[int]:
        """The transactions that had begun and were not over."""
        return frozenset(int(xid) for xid in self.text.split(":")[2].split(",") if xid)


NOTHING = Snapshot("1:1:")
"""The snapshot before any transaction."""


@dataclass(frozen=True)
class Span:
    """Changes to read: those after a watermark that one snapshot shows and an earlier one did not.

    :param after: where reading starts, in the order of transactions and ids
    :param until: the snapshot that shows them
    :param seen: the earlier snapshot; by default none, so that the watermark alone decides
    :param before: only transactions before this one; by default all that the first snapshot shows
    """

    after: Watermark
    until: Snapshot
    seen: Snapshot = NOTHING
    before: int | None = None

    def holds(self, change: Watermark) -> bool:
        """Whether a change lies in this span."""
        return change > self.after and self.until.sees(change.xid) and not self.seen.sees(change.xid)

    def moves_to(self, change: Watermark) -> Watermark | None:
        """How far the watermark may move once this change and all before it in the span are done.

        ``None`` beyond the horizon: an older transaction is still open, and its changes come before this one.
        """
        return change if change.xid < self.until.horizon else None

    def parts(self) -> Iterator["Span"]:
        """The same in parts, in order, without most of what the earlier snapshot showed.

        Behind a transaction that stays open that grows all day, and each look for a change would read it.
        """
        first, end = self.after.xid, self.until.end
        ranges: list[tuple[int, int]] = []
        for begin, stop in (*((xid, xid + 1) for xid in sorted(self.seen.open)), (self.seen.end, end)):
            if ranges and begin - ranges[-1][1] <= NEAR_XIDS:
                ranges[-1] = ranges[-1][0], stop
            else:
                ranges.append((begin, stop))
        for begin, stop in ranges:
            if first < stop and begin < end:
                yield replace(self, after=max(self.after, Watermark(begin - 1, LAST_ID)), before=stop)

    @property
    def parameters(self) -> dict[str, object]:
        """The span as parameters of the queries that read it."""
        return {
            "after_xid": self.after.xid,
            "after_id": self.after.id,
            "before_xid": self.until.end if self.before is None else self.before,
            "seen": self.seen.text,
            "until": self.until.text,
        }
