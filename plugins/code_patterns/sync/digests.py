"""Digests of id ranges: how a proof finds out that a range is as it was, without reading its rows.

PostgreSQL computes a digest of the rows of a range. Which hashes their points must have follows from these rows alone.
So the digest of these hashes, once computed, stays true for the same rows, whatever happens to either side. A proof
asks both sides for the digests of a range and reads its rows only if one of them is another than before.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from code_patterns.sync.diff import FIRST_ID, LAST_ID, IdRange
from code_patterns.sync.pattern import Pattern, SourceRow, hashing_of

RANGE_ROWS = 250
"""Rows of a new range. One changed row has its whole range read; each range takes some hundred bytes of memory."""

BY_FIRST = attrgetter("first")


@dataclass(frozen=True, slots=True)
class RangeDigest:
    """What is known of an id range.

    :param first: its first id; it ends before that of the next range
    :param rows: digest of its rows, as PostgreSQL computes it
    :param points: digest of its points, see :meth:`Digests.of`; empty if no pattern can be made of one of the rows
    :param whole_at: when its points were last read whole and nothing was wrong
    """

    first: UUID
    rows: bytes
    points: bytes
    whole_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownRange:
    """An id range, and what is known of it; ``None`` if nothing is."""

    ids: IdRange
    known: RangeDigest | None


Hashes = tuple[str, Any, Any, Any]
"""Of a point: its id as text; hashes of embedding, content and words, or what else stands in their places."""


def hashes_of(pattern: Pattern) -> Hashes:
    """The id and the hashes that the point of a pattern must have."""
    return str(pattern.id), pattern.embedding_hash, pattern.content_hash, pattern.words_hash


class Digests:
    """What is known of a collection's id ranges, the whole space of ids together.

    :param known: in id order
    :param recipe: of the collection's vectors
    :param words: whether the collection has words
    """

    def __init__(self, known: Iterable[RangeDigest], recipe: str, *, words: bool) -> None:
        self._known = list(known)
        self._hashing = hashing_of(recipe, words=words)
        self._new: list[tuple[IdRange, RangeDigest | None]] = []

    def of(self, hashes: Sequence[Hashes]) -> bytes:
        """Return the digest of the hashes of a range's points; the same hashes made in another way have another one."""
        # Not as JSON: what stands in the place of a hash may be any value.
        return hashlib.sha256(self._hashing + repr(hashes).encode("utf-8", "backslashreplace")).digest()

    def knows(self, within: IdRange) -> bool:
        """Whether anything is known of an id range."""
        return bool(self._known[self._span(within)])

    def ranges(self) -> list[KnownRange]:
        """The ranges of all ids in id order, without a gap."""
        known: list[RangeDigest | None] = [*self._known]
        # What lies before the first known range belongs to it: there was no row.
        starts = [FIRST_ID, *(one.first for one in known[1:] if one)]
        ends = [*(UUID(int=start.int - 1) for start in starts[1:]), LAST_ID]
        return [
            KnownRange(IdRange(start, end), one) for start, end, one in zip(starts, ends, known or [None], strict=True)
        ]

    def due(self, nights: int, since: datetime) -> frozenset[UUID]:
        """First ids of the ranges that are to be read whole tonight: those that have waited longest.

        :param nights: in how many nights every range is read whole once
        :param since: when tonight began; what was read whole since then is done
        """
        done = sum(1 for one in self._known if one.whole_at and one.whole_at >= since)
        waiting = sorted(
            (one for one in self._known if not one.whole_at or one.whole_at < since),
            key=lambda one: (one.whole_at is not None, one.whole_at or since, one.first),
        )
        wanted = -(-len(self._known) // nights) - done
        return frozenset(one.first for one in waiting[: max(wanted, 0)])

    def learn(self, ids: IdRange, known: RangeDigest | None, *, refuted: bool = False) -> None:
        """Replace what is known of an id range.

        :param known: begins with the range; ``None`` if it has no rows, so that it becomes part of its neighbour
        :param refuted: its points were read whole and something is wrong, whatever an earlier reading found
        """
        span = self._span(ids)
        replaced = self._known[span]
        if known and not (known.whole_at or refuted) and replaced and all(one.whole_at for one in replaced):
            # Its rows changed, and their points were written anew. The others are as they were then.
            known = replace(known, whole_at=min(one.whole_at for one in replaced if one.whole_at))
        self._known[span] = [known] if known else []
        self._new.append((ids, known))

    def taken(self) -> list[tuple[IdRange, RangeDigest | None]]:
        """What was learnt since the last call, to be kept."""
        new, self._new = self._new, []
        return new

    @property
    def unkept(self) -> int:
        """How many ranges were learnt since :meth:`taken`."""
        return len(self._new)

    def __len__(self) -> int:
        """How many ranges are known."""
        return len(self._known)

    def _span(self, ids: IdRange) -> slice:
        """Where the ranges stand that begin within these ids."""
        return slice(
            bisect_left(self._known, ids.first, key=BY_FIRST), bisect_right(self._known, ids.last, key=BY_FIRST)
        )


class RangeCutter:
    """Cuts the rows of an id range, which come in id order, into ranges with digests.

    :param within: the id range
    :param digests: learns what is found
    """

    def __init__(self, within: IdRange, digests: Digests) -> None:
        self._digests = digests
        self._first, self._last = within.first, within.last
        self._rows: list[tuple[UUID, bytes]] = []
        self._hashes: dict[UUID, Hashes] = {}
        self._doubted = False
        self._refuted = False

    def add(
        self,
        rows: Sequence[SourceRow],
        patterns: Iterable[Pattern],
        *,
        whole_at: datetime | None = None,
        refuted: bool = False,
    ) -> None:
        """Add rows.

        :param patterns: those of them of which a pattern can be made
        :param whole_at: now, if their points were read whole and nothing is wrong
        :param refuted: whether their points were read whole and something is wrong
        """
        self._rows += [(row.id, row.digest or b"") for row in rows]
        self._hashes.update((pattern.id, hashes_of(pattern)) for pattern in patterns)
        self._doubted = self._doubted or whole_at is None
        self._refuted = self._refuted or refuted
        # Half a range more, so that the last one is not a tiny one.
        while len(self._rows) > RANGE_ROWS + RANGE_ROWS // 2:
            following = self._rows[RANGE_ROWS][0]
            self._cut(RANGE_ROWS, UUID(int=following.int - 1), whole_at)
            self._first = following

    def doubt(self) -> None:
        """Something is wrong in the present range that is no row's fault, so it does not count as read whole."""
        self._doubted = True

    def end(self, *, whole_at: datetime | None = None) -> None:
        """Cut what is left; see :meth:`add`."""
        self._cut(len(self._rows), self._last, whole_at)

    def _cut(self, count: int, last: UUID, whole_at: datetime | None) -> None:
        rows, self._rows = self._rows[:count], self._rows[count:]
        hashes = [found for node_id, _ in rows if (found := self._hashes.pop(node_id, None))]
        known = RangeDigest(
            self._first,
            hashlib.sha256(b"".join(digest for _, digest in rows)).digest(),
            self._digests.of(hashes) if len(hashes) == len(rows) else b"",
            None if self._doubted else whole_at,
        )
        self._digests.learn(IdRange(self._first, last), known if rows else None, refuted=self._refuted)
        # A page may be of both ranges.
        self._doubted = self._doubted and bool(self._rows)
        self._refuted = self._refuted and bool(self._rows)
