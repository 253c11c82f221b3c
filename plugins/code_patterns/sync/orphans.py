"""Points that no code pattern stands behind, and how many of them may be deleted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from code_patterns.errors import ConfigurationError
from code_patterns.sync.diff import PointId
from code_patterns.sync.sync_settings import SyncSettings


@dataclass(slots=True)
class Points:
    """What a comparison saw in Qdrant.

    :param seen: points looked at
    :param foreign: orphans whose id is an integer, which no row can have
    """

    seen: int = 0
    foreign: list[int] = field(default_factory=list)
    _orphans: bytearray = field(default_factory=bytearray)

    def add_orphan(self, node_id: PointId) -> None:
        """Note a point that no code pattern stands behind; 16 bytes each, so that millions fit."""
        if isinstance(node_id, int):
            self.foreign.append(node_id)
        else:
            self._orphans += node_id.bytes

    @property
    def orphans(self) -> int:
        """How many orphans there are."""
        return len(self.foreign) + len(self._orphans) // 16

    def orphan_batches(self, size: int) -> Iterator[list[UUID]]:
        """The orphans whose id is a UUID, some at a time."""
        for start in range(0, len(self._orphans), 16 * size):
            part = self._orphans[start : start + 16 * size]
            yield [UUID(bytes=bytes(part[at : at + 16])) for at in range(0, len(part), 16)]


def refuse_mass_delete(points: Points, examined: int, proven: int | None, settings: SyncSettings) -> None:
    """Stop before more points go than a person would expect.

    :param points: what was seen in Qdrant, orphans among it
    :param examined: code patterns in PostgreSQL
    :param proven: how many points there were when the collection was adopted or last proven, if that is known
    :param settings: how much may go
    :raises ConfigurationError: PostgreSQL is empty, or too large a share of the points would go
    """
    if settings.allow_mass_delete or not points.orphans:
        return
    empty = examined == 0
    # What shards, or a run that was refused, have added must not make the share of what goes look small; nor is it
    # among the points that a person would miss, should its rows have been deleted since.
    before = min(count for count in (points.seen, settings.points_before, proven) if count is not None)
    allowed = settings.max_delete_fraction
    if empty or points.orphans > allowed * points.seen or min(points.orphans, before) > allowed * before:
        among = f" of the {before} points that there were before" if before < points.seen else ""
        why = (
            "PostgreSQL holds no code pattern at all"
            if empty
            else f"that is more than the share of {allowed:g} that pattern_sync_max_delete_fraction allows{among}"
        )
        raise ConfigurationError(
            f"Refusing to delete {points.orphans} of {points.seen} points from '{settings.collection}': "
            f"{why}. New and changed patterns were synced, nothing was deleted. Check that the connection names "
            "the right database; if the deletion is meant, run pattern_sync_full once with allow_mass_delete."
        )


def refuse_lost_table(name: str, before: int | None, settings: SyncSettings) -> None:
    """Stop where both sides are empty although there was something: that they agree is no comfort.

    :param name: the collection, as users write it
    :param before: how many points there were when the collection was adopted or last proven, if that is known
    :raises ConfigurationError: there were some, and nobody has said that they may go
    """
    if before and not settings.allow_mass_delete:
        raise ConfigurationError(
            f"PostgreSQL holds no code pattern at all and '{name}' no point, where {before:,} were proven before. "
            "Check that the connections name the right database and server; if everything is meant to be gone, run "
            "pattern_sync_full once with allow_mass_delete."
        )
