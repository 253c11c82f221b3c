"""Decide whether a run can go on where the last one stopped. Nothing here asks a server or writes."""

from dataclasses import dataclass

from code_patterns.embeddings.words import WORDS_RECIPE
from code_patterns.sync.checkpoint import Checkpoint
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import Watermark
from code_patterns.sync.identity import DatabaseIdentity, token_number
from code_patterns.sync.source import Horizon


@dataclass(frozen=True)
class Judgement:
    """Where a run may start.

    :param start: the watermark to start from; ``None`` if everything must be compared
    :param reason: why everything must be compared
    :param agreed: whether both sides hold the same token, so that neither was exchanged
    :param surprising: whether somebody restored, replaced or took over something
    """

    start: Watermark | None = None
    reason: str = ""
    agreed: bool = False
    surprising: bool = False


def judge(
    collection: Collection,
    database: DatabaseIdentity,
    checkpoint: Checkpoint | None,
    horizon: Horizon,
    *,
    lost_write: bool = False,
) -> Judgement:
    """Compare what both sides hold about each other.

    :param collection: the side of the points
    :param database: the side of the rows
    :param checkpoint: what the database holds about this collection
    :param horizon: where the run will stop reading rows
    :param lost_write: whether the collection lacks what was written to it last
    """
    if reason := _exchanged(collection, database, checkpoint, lost_write=lost_write):
        return Judgement(reason=reason, surprising=True)
    if checkpoint is None:
        return Judgement(reason="this collection was never synced from this database")
    if checkpoint.watermark is None:
        return Judgement(reason="the last comparison of everything did not reach its end", agreed=True)
    if checkpoint.system_identifier != horizon.system_identifier:
        reason = "the database was restored or moved to another PostgreSQL cluster, so transaction ids started over"
        return Judgement(reason=reason, surprising=True)
    if checkpoint.watermark.xid >= horizon.xid:
        return Judgement(reason="the watermark is ahead of the database, as after a restore", surprising=True)
    if checkpoint.unfinished_in not in (None, horizon.incarnation):
        reason = "a run did not come to its end, and the database was restored or its server started again since"
        return Judgement(reason=reason, surprising=True)
    if collection.words and collection.stored and not collection.stored.words:
        return Judgement(reason="its points have no words to search by", agreed=True)
    if collection.words and collection.description.words != WORDS_RECIPE:
        return Judgement(reason="the words of its points are of another recipe than this version's", agreed=True)
    if collection.description.rows != collection.target.rows.text:
        return Judgement(reason="the target's filter has changed since everything was compared", agreed=True)
    return Judgement(checkpoint.watermark, agreed=True)


def _exchanged(
    collection: Collection, database: DatabaseIdentity, checkpoint: Checkpoint | None, *, lost_write: bool
) -> str | None:
    """Say why these two sides are not those that were synced last."""
    owner, token = collection.description.database, collection.description.progress
    if owner and not owner.is_same(database):
        return f"the collection was taken over from the database {owner}"
    if checkpoint is None:
        if collection.outdated not in (None, collection.physical):
            # The run that let readers see the other collection has forgotten the checkpoint of this one.
            return None
        older = (
            "the database knows of no sync with this collection, as after restoring an older dump, or when no run came "
            "for longer than tombstones are kept"
        )
        return older if token else None
    before_any = token is None and checkpoint.progress is None
    if not before_any and (token is None or token not in (checkpoint.progress, checkpoint.pending)):
        ours, theirs = token_number(checkpoint.known), token_number(token)
        if theirs < ours:
            return "the Qdrant collection is older than what the database knows of it, as after restoring a snapshot"
        if theirs > ours:
            return "the database is older than its collection in Qdrant, as after restoring a dump"
        return "both sides went different ways, as after restoring one of them and syncing the other"
    if lost_write:
        return "the Qdrant collection lacks what was written to it last, as after restoring an older snapshot"
    return None
