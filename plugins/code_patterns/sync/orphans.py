"""Orphans, the points without a code pattern, and how many of them may be deleted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.sync.diff import PointId
from code_patterns.sync.sync_settings import SyncSettings

FULL_SYNC = "pattern_sync_full once with allow_mass_delete"
"""What deletes after all."""
HEALING = "pattern_verify once with heal and allow_mass_delete"
"""What deletes after all, where a verification heals."""


@dataclass(slots=True)
class Points:
    """What a comparison saw in Qdrant.

    :param seen: points read
    :param foreign: orphans with an integer id, which no row can have
    """

    seen: int = 0
    foreign: list[int] = field(default_factory=list)
    _orphans: bytearray = field(default_factory=bytearray)

    def add_orphan(self, node_id: PointId) -> None:
        """Add an orphan; each takes 16 bytes, so that millions fit."""
        if isinstance(node_id, int):
            self.foreign.append(node_id)
        else:
            self._orphans += node_id.bytes

    @property
    def orphans(self) -> int:
        """How many orphans there are."""
        return len(self.foreign) + len(self._orphans) // 16

    def orphan_batches(self, size: int) -> Iterator[list[UUID]]:
        """The orphans with a UUID, in pages."""
        for start in range(0, len(self._orphans), 16 * size):
            part = self._orphans[start : start + 16 * size]
            yield [UUID(bytes=bytes(part[at : at + 16])) for at in range(0, len(part), 16)]


def refuse_mass_delete(
    points: Points,
    examined: int,
    proven: int | None,
    settings: SyncSettings,
    *,
    done: str,
    remedy: str = FULL_SYNC,
    expected: int = 0,
) -> None:
    """Refuse to delete more points than a person would expect.

    :param points: what was seen in Qdrant, with the orphans
    :param examined: code patterns in PostgreSQL
    :param proven: number of points when the collection was adopted or last proven, if known
    :param settings: how many may be deleted
    :param done: what the run has done until now, as a whole sentence
    :param remedy: which DAG deletes them after all, and by which Params
    :param expected: how many of the orphans do not count
    :raises ConfigurationError: PostgreSQL is empty, or too large a share of the points would be deleted
    """
    if settings.allow_mass_delete or not points.orphans:
        return
    empty = examined == 0
    # Points that shards or a refused run added must not make the share look small. Nor would a person miss them if
    # their rows were deleted since.
    before = min(count for count in (points.seen, settings.points_before, proven) if count is not None)
    allowed, doubtful = settings.max_delete_fraction, points.orphans - expected
    if empty or doubtful > allowed * points.seen or min(doubtful, before) > allowed * before:
        among = f" of the {before} points that there were before" if before < points.seen else ""
        why = (
            _nothing(settings)
            if empty
            else f"that is more than the share of {allowed:g} that pattern_sync_max_delete_fraction allows{among}"
        )
        raise ConfigurationError(
            Code.MASS_DELETE_REFUSED,
            f"Refusing to delete {points.orphans} of {points.seen} points from '{settings.collection}': "
            f"{why}. {done} Check that the connection names the right database{_or_filter(settings)}; if the deletion "
            f"is meant, run {remedy}.",
        )


def refuse_lost_table(name: str, before: int | None, settings: SyncSettings) -> None:
    """Stop if both sides are empty although there were points: that they agree proves nothing.

    :param name: the collection, as users write it
    :param before: number of points when the collection was adopted or last proven, if known
    :raises ConfigurationError: there were points, and nobody allowed to delete them
    """
    if before and not settings.allow_mass_delete:
        raise ConfigurationError(
            Code.MASS_DELETE_REFUSED,
            f"{_nothing(settings)} and '{name}' no point, where {before:,} were proven before. Check that the "
            f"connections name the right database and server{_or_filter(settings)}; if everything is meant to be gone, "
            f"run {FULL_SYNC}.",
        )


def _nothing(settings: SyncSettings) -> str:
    passing = f" that passes the filters of {settings.target.title}" if settings.target.rows else " at all"
    return f"PostgreSQL holds no code pattern{passing}"


def _or_filter(settings: SyncSettings) -> str:
    return ", and that the target's filters are right" if settings.target.rows else ""
