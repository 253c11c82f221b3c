"""What a proof found wrong: all ids, in 16 bytes each, so that millions fit."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from code_patterns.sync.diff import PointId

PAGE_IDS = 1_000
"""Ids of one page."""


class Flaw(Enum):
    """What is wrong with one point."""

    MISSING = "missing in Qdrant"
    EDITED = "with a payload that is not the row's"
    VECTOR = "with a vector that is zero, not finite or of another length"
    WORDS = "with words that are not the row's"
    UNREADABLE = "whose row cannot be read and is no dead letter"
    FOREIGN = "with no code pattern behind"


@dataclass(slots=True)
class PackedIds:
    """Many UUIDs, in the order in which they were added."""

    _bytes: bytearray = field(default_factory=bytearray)

    def add(self, ids: Sequence[UUID]) -> None:
        """Append some."""
        for node_id in ids:
            self._bytes += node_id.bytes

    def __len__(self) -> int:
        """How many there are."""
        return len(self._bytes) // 16

    def first(self, count: int) -> list[UUID]:
        """The first of them."""
        return [UUID(bytes=bytes(self._bytes[at : at + 16])) for at in range(0, min(16 * count, len(self._bytes)), 16)]

    def pages(self, size: int = PAGE_IDS) -> Iterator[list[UUID]]:
        """All of them, in pages."""
        for start in range(0, len(self._bytes), 16 * size):
            part = self._bytes[start : start + 16 * size]
            yield [UUID(bytes=bytes(part[at : at + 16])) for at in range(0, len(part), 16)]


class Findings:
    """What a proof compared and found.

    :ivar patterns: rows and points, each pair counted once
    :ivar rows: code patterns read
    :ivar points: points read
    :ivar by_digest: patterns that were compared by the digests of their ranges only
    :ivar integers: points whose id is an integer, which no row can have
    :ivar moving: differences by transactions after the horizon, which belong to the next run
    :ivar parked: differing rows that are excused as dead letters
    """

    def __init__(self) -> None:
        self.patterns = 0
        self.rows = 0
        self.points = 0
        self.by_digest = 0
        self.integers = array("Q")
        self.moving = 0
        self.parked = PackedIds()
        self._wrong = {flaw: PackedIds() for flaw in Flaw}

    def add(self, flaw: Flaw, ids: Sequence[PointId]) -> None:
        """Note points with a flaw."""
        self.integers.extend(node_id for node_id in ids if isinstance(node_id, int))
        self._wrong[flaw].add([node_id for node_id in ids if isinstance(node_id, UUID)])

    def of(self, flaw: Flaw) -> PackedIds:
        """The ids with a flaw; integer ids are in :attr:`integers`."""
        return self._wrong[flaw]

    def replace(self, flaw: Flaw, ids: PackedIds) -> None:
        """Keep only these of the ids with a flaw."""
        self._wrong[flaw] = ids

    def counts(self) -> dict[Flaw, int]:
        """Number of points by flaw; flaws without points are absent."""
        counted = {flaw: len(ids) for flaw, ids in self._wrong.items()}
        counted[Flaw.FOREIGN] += len(self.integers)
        return {flaw: count for flaw, count in counted.items() if count}

    @property
    def wrong(self) -> int:
        """How many points are wrong."""
        return sum(self.counts().values())

    def named(self, flaw: Flaw, count: int) -> list[PointId]:
        """Some ids with a flaw, for messages."""
        integers = list(self.integers[:count]) if flaw is Flaw.FOREIGN else []
        return [*integers, *self._wrong[flaw].first(count - len(integers))]

    def examples(self, count: int) -> str:
        """Some wrong ids of any flaw, for messages."""
        ids = [node_id for flaw in Flaw for node_id in self.named(flaw, count)]
        return ", ".join(str(node_id) for node_id in ids[:count])
