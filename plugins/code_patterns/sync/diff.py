"""Decide what a pattern needs, by comparing its row with its point in Qdrant."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from code_patterns.sync.pattern import Pattern, SourceRow, UnreadableRowError, pattern_of

PointId = UUID | int
"""A Qdrant point id. The sync writes UUIDs; others may have written integers."""


class Action(Enum):
    """What one pattern needs."""

    NEW = "new"
    CHANGED = "changed"
    WORDS_ONLY = "words_only"
    PAYLOAD_ONLY = "payload_only"
    UNCHANGED = "unchanged"
    DELETE = "delete"
    ABSENT = "absent"
    UNREADABLE = "unreadable"


EMBEDS = frozenset({Action.NEW, Action.CHANGED})
WRITES = EMBEDS | {Action.WORDS_ONLY, Action.PAYLOAD_ONLY, Action.DELETE}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hashes in a point's payload; ``None`` if something else wrote the point.

    :param words_hash: ``None`` also if the point has no words: a plain vector that something else writes removes them
    """

    id: PointId
    embedding_hash: str | None
    content_hash: str | None
    words_hash: str | None
    truncated: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Watermark:
    """Everything up to and including this transaction and row id has been seen."""

    xid: int
    id: UUID


FIRST_ID = UUID(int=0)
LAST_ID = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class IdRange:
    """A range of ids.

    :param first: its first id, included
    :param last: its last id, included
    """

    first: UUID
    last: UUID


ALL_IDS = IdRange(FIRST_ID, LAST_ID)


@dataclass(frozen=True, slots=True)
class Change:
    """One decided step.

    :param id: the row's id, which is the point's id
    :param action: what to do
    :param pattern: what Qdrant should hold, if there is something to write
    :param error: why the row cannot be read, if it cannot
    :param watermark: how far the watermark may move after this step is recorded; ``None`` moves nothing
    :param content_hash: of the point, where it is as it should be
    :param changed_at: start of the transaction that made the change, where it is known
    :param fresh: whether the row has changed since the last sync, as far as that is known
    """

    id: UUID
    action: Action
    pattern: Pattern | None = None
    error: str | None = None
    watermark: Watermark | None = None
    content_hash: str | None = None
    changed_at: datetime | None = None
    fresh: bool = False


def decide(
    node_id: UUID,
    row: SourceRow | None,
    point: Fingerprint | None,
    recipe: str,
    watermark: Watermark | None = None,
    *,
    words: bool = True,
) -> Change:
    """Compare a row with its point.

    :param node_id: their common id
    :param row: the row, or ``None`` if it was deleted
    :param point: the point's fingerprint, or ``None`` if Qdrant has no such point
    :param recipe: from :func:`~code_patterns.sync.pattern.recipe_of`
    :param watermark: watermark of the change
    :param words: whether the collection has words
    """
    if row is None or row.pattern_type != "code":
        return Change(node_id, Action.DELETE if point else Action.ABSENT, watermark=watermark)
    changed_at = row.updated_at
    try:
        pattern = pattern_of(row, recipe, words=words)
    except UnreadableRowError as error:
        return Change(node_id, Action.UNREADABLE, error=str(error), watermark=watermark, changed_at=changed_at)
    if point is None:
        action = Action.NEW
    elif point.embedding_hash != pattern.embedding_hash:
        action = Action.CHANGED
    elif (point.words_hash, point.content_hash) != (pattern.words_hash, pattern.content_hash):
        action = Action.PAYLOAD_ONLY if point.words_hash == pattern.words_hash else Action.WORDS_ONLY
        if point.truncated:
            # The vector stays, and so does its mark.
            pattern = pattern.marked_truncated()
    else:
        # Nothing to write, so the pattern, which may be large, is left out.
        return Change(
            node_id,
            Action.UNCHANGED,
            watermark=watermark,
            content_hash=pattern.content_hash,
            changed_at=changed_at,
        )
    return Change(node_id, action, pattern, watermark=watermark, changed_at=changed_at)
