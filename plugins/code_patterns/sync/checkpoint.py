"""The checkpoint of a collection: what is stored between runs, so that each starts where the last one stopped."""

from dataclasses import dataclass

from code_patterns.servers.locks import LockedSession
from code_patterns.sync.capture import TABLE, Capture
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import Watermark
from code_patterns.sync.identity import Witness


@dataclass(frozen=True)
class Checkpoint:
    """How far a collection is, from the side of the database.

    :param system_identifier: the PostgreSQL cluster of the watermark's transaction id
    :param watermark: everything up to here has arrived; ``None`` if everything must be compared first
    :param progress: the token that the collection should hold
    :param pending: the token that it may hold already
    :param witness: the point that was written last, if known
    :param capture_identity: of :class:`~code_patterns.sync.capture.Capture`; ``None`` if the capture was not complete
    :param unfinished_in: the incarnation of the database in which a run wrote without coming to its end, see
        :class:`~code_patterns.sync.source.Horizon`; ``None`` if the last one came to its end
    """

    system_identifier: str
    watermark: Watermark | None = None
    progress: str | None = None
    pending: str | None = None
    witness: Witness | None = None
    capture_identity: str | None = None
    unfinished_in: str | None = None

    @property
    def known(self) -> str | None:
        """The newest token that the database has made for this collection."""
        return self.pending or self.progress

    def missed(self, capture: Capture) -> str | None:
        """Why changes since then may not have been recorded; ``None`` if all were."""
        if not capture.complete:
            return f"not every change of {TABLE} is recorded"
        if self.capture_identity is None:
            return f"not every change of {TABLE} was recorded until now"
        if self.capture_identity != capture.identity:
            return f"{TABLE}, its partitions or its triggers were replaced, disabled or changed since the last run"
        return None


async def read_checkpoint(session: LockedSession, collection: Collection) -> Checkpoint | None:
    """Read the checkpoint; ``None`` if the collection was never synced from this database."""
    rows = await session.fetch("sync_checkpoint", collection=collection.physical, target_identity=collection.identity)
    if not rows:
        return None
    system_identifier, xid, node_id, progress, pending, witness_id, witness_at, *rest = rows[0]
    return Checkpoint(
        system_identifier,
        None if xid is None else Watermark(xid, node_id),
        progress,
        pending,
        Witness(witness_id, witness_at) if witness_id else None,
        *rest,
    )
