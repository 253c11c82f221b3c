"""Say in words what an inspection found."""

from collections.abc import Iterator, Sequence
from textwrap import indent

from code_patterns.adopt.inspection import SAMPLED_POINTS, Inspection
from code_patterns.sync.collection import StoredCollection
from code_patterns.sync.diff import Action


def overview(found: Inspection, collection: str) -> str:
    """Return the text.

    :param collection: alias or collection in Qdrant
    """
    return "\n".join([*_database(found), *_target(found, collection), *_comparison(found), *_first_sync(found)])


def _database(found: Inspection) -> Iterator[str]:
    side = found.database
    yield "PostgreSQL"
    yield f"  tables: {', '.join(side.tables) or 'none of this project'}"
    if side.types:
        told = ", ".join(f"{count:,} {kind}" for kind, count in side.types)
        yield f"  patterns: {told}; only those of the type 'code' are synced"
    if side.plan:
        yield indent(f"schema_migration: {side.plan}", "  ")


def _target(found: Inspection, collection: str) -> Iterator[str]:
    side = found.target
    yield f"Qdrant{side.version and ' '}{side.version}"
    if side.stored is None:
        yield f"  '{collection}' does not exist yet; the first sync makes it, behind an alias"
        return
    kind = "a collection" if side.physical == collection else f"an alias of '{side.physical}'"
    yield f"  '{collection}' is {kind}, {found.points.seen:,} points"
    yield f"  vectors: {_vectors(side.stored)}"
    description = side.stored.description
    yield f"  recipe of the vectors: {description.recipe or 'unknown: this bundle has not written the collection yet'}"
    if description.database:
        yield f"  belongs to the database {description.database}"
    if side.curated:
        told = ", ".join(f"{name} ({count:,})" for name, count in side.curated.most_common(20))
        yield f"  payload keys of others, kept by every sync: {told}; points with it among the first {SAMPLED_POINTS:,}"


def _vectors(stored: StoredCollection) -> str:
    if stored.vectors is None:
        return "only named ones, which the sync cannot use"
    return f"{stored.vectors.size} dimensions, {stored.vectors.distance.value}"


def _comparison(found: Inspection) -> Iterator[str]:
    rows = sum(found.actions.values())
    yield "Both sides"
    yield f"  ids on both sides: {found.shared:,}"
    yield f"  rows without a point: {rows - found.shared:,}{_such_as(found.lone_rows)}"
    yield f"  points without a row: {found.points.orphans:,}{_such_as(found.lone_points)}"


def _first_sync(found: Inspection) -> Iterator[str]:
    yield "A first pattern_sync_full would"
    yield f"  embed and write {found.to_embed:,} patterns"
    for action, doing in (
        (Action.WORDS_ONLY, "write words and payload of"),
        (Action.PAYLOAD_ONLY, "rewrite the payload of"),
        (Action.UNCHANGED, "leave alone"),
    ):
        if count := found.actions[action]:
            yield f"  {doing} {count:,}"
    yield f"  delete {found.points.orphans:,} points"
    if count := found.actions[Action.UNREADABLE]:
        yield f"  park {count:,} as dead letters: {'; '.join(found.unreadable)}"
    if found.seconds is not None and found.texts_per_second:
        yield f"  take about {_span(found.seconds)} ({found.texts_per_second:,.0f} texts per second were measured)"
    elif found.to_embed:
        yield f"  take a time that could not be measured: {found.slowness}"
    if found.blockers:
        yield "To be settled before"
        yield from (f"  - {blocker}" for blocker in found.blockers)
    yield "Nothing was written."


def _such_as(ids: Sequence[object]) -> str:
    return f", such as {', '.join(map(str, ids))}" if ids else ""


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:,.0f} minutes" if seconds < 5400 else f"{seconds / 3600:,.1f} hours"
