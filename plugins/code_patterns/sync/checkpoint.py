"""The checkpoint of a collection: what is stored between runs, so that each starts where the last one stopped."""

from dataclasses import dataclass

from code_patterns.servers.locks import LockedSession
from code_patterns.sync.capture import TABLE, Capture
from code_patterns.sync.diff import Watermark
from code_patterns.sync.source import Horizon

TOMBSTONE_DAYS = 30
"""How long a deletion is remembered for a collection that has not taken it."""


@dataclass(frozen=True)
class Checkpoint:
    """How far a collection is, and between which two sides.

    :param target_identity: the Qdrant collection, from :attr:`~code_patterns.sync.collection.Collection.identity`
    :param system_identifier: the PostgreSQL cluster, whose transaction ids the watermark holds
    :param watermark: everything up to here has arrived
    :param capture_identity: of :class:`~code_patterns.sync.capture.Capture`; ``None`` where it was not complete
    """

    target_identity: str
    system_identifier: str
    watermark: Watermark
    capture_identity: str | None

    def refusal(self, target_identity: str, horizon: Horizon) -> str | None:
        """Why a run cannot start here, in words; ``None`` where it can.

        :param target_identity: identity of the collection that is written now
        :param horizon: where this run will stop
        """
        if self.system_identifier != horizon.system_identifier:
            return "the database was restored or moved to another PostgreSQL cluster, so transaction ids started over"
        if self.target_identity != target_identity:
            return "the Qdrant collection is not the one that was synced last"
        if self.watermark.xid >= horizon.xid:
            return "the watermark is ahead of the database, as after a restore"
        return None

    def missed(self, capture: Capture) -> str | None:
        """Why changes since then may not have been recorded, in words; ``None`` where all were."""
        if not capture.complete:
            return f"not every change of {TABLE} is recorded"
        if self.capture_identity is None:
            return f"not every change of {TABLE} was recorded until now"
        if self.capture_identity != capture.identity:
            return f"{TABLE}, its partitions or its triggers were replaced, disabled or changed since the last run"
        return None


class Checkpoints:
    """The table ``pattern_sync_checkpoints``, as far as it is about one collection.

    :param session: holds the locks of the run, unless this is a dry run
    :param collection: the real collection's name in Qdrant
    """

    def __init__(self, session: LockedSession, collection: str) -> None:
        self._session = session
        self._collection = collection

    async def read(self) -> Checkpoint | None:
        """The checkpoint, or ``None`` where the collection was never synced from this database."""
        rows = await self._session.fetch("sync_checkpoint", collection=self._collection)
        if not rows:
            return None
        target_identity, system_identifier, xid, node_id, capture_identity = rows[0]
        return Checkpoint(target_identity, system_identifier, Watermark(xid, node_id), capture_identity)

    async def save(self, checkpoint: Checkpoint) -> None:
        """Store this checkpoint instead of the one before."""
        await self._session.execute(
            "sync_save_checkpoint",
            collection=self._collection,
            target_identity=checkpoint.target_identity,
            system_identifier=checkpoint.system_identifier,
            xid=checkpoint.watermark.xid,
            id=checkpoint.watermark.id,
            capture_identity=checkpoint.capture_identity,
        )

    async def mark_finished(self, kind: str) -> None:
        """Note that a run of this kind has just ended well."""
        await self._session.execute("sync_mark_finished", collection=self._collection, kind=kind)

    async def forget(self) -> None:
        """Drop the checkpoint: no run follows this collection any more."""
        await self._session.execute("sync_forget_checkpoint", collection=self._collection)

    async def prune_tombstones(self) -> None:
        """Forget deletions that every collection has seen, and those older than :data:`TOMBSTONE_DAYS`."""
        await self._session.execute("sync_prune_tombstones", keep_days=TOMBSTONE_DAYS)

    async def pruned_beyond(self, watermark: Watermark) -> bool:
        """Whether deletions were forgotten that lie beyond a watermark."""
        return bool((await self._session.fetch("sync_pruned_beyond", xid=watermark.xid))[0][0])
