"""The checkpoint of a collection: what is stored between runs, so that each starts where the last one stopped."""

from dataclasses import dataclass

from code_patterns.servers.locks import LockedSession
from code_patterns.sync.capture import TABLE, Capture
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import Watermark
from code_patterns.sync.identity import Witness

TOMBSTONE_DAYS = 30
"""Days that a tombstone is kept for collections that have not taken it."""


@dataclass(frozen=True)
class Checkpoint:
    """How far a collection is, from the side of the database.

    :param system_identifier: the PostgreSQL cluster of the watermark's transaction id
    :param watermark: everything up to here has arrived; ``None`` if everything must be compared first
    :param progress: the token that the collection should hold
    :param pending: the token that it may hold already
    :param witness: the point that was written last, if known
    :param capture_identity: of :class:`~code_patterns.sync.capture.Capture`; ``None`` if the capture was not complete
    """

    system_identifier: str
    watermark: Watermark | None = None
    progress: str | None = None
    pending: str | None = None
    witness: Witness | None = None
    capture_identity: str | None = None

    def missed(self, capture: Capture) -> str | None:
        """Why changes since then may not have been recorded; ``None`` if all were."""
        if not capture.complete:
            return f"not every change of {TABLE} is recorded"
        if self.capture_identity is None:
            return f"not every change of {TABLE} was recorded until now"
        if self.capture_identity != capture.identity:
            return f"{TABLE}, its partitions or its triggers were replaced, disabled or changed since the last run"
        return None


class Checkpoints:
    """The rows of one collection in ``pattern_sync_checkpoints``.

    :param session: holds the locks of the run, unless this is a dry run
    :param collection: the collection
    :param system_identifier: the PostgreSQL cluster
    :param capture: whether every change of the rows is recorded
    """

    def __init__(
        self, session: LockedSession, collection: Collection, system_identifier: str, capture: Capture
    ) -> None:
        self._session = session
        self._key = {"collection": collection.physical, "target_identity": collection.identity}
        self._system_identifier = system_identifier
        self._capture_identity = capture.identity if capture.complete else None

    async def read(self) -> Checkpoint | None:
        """The checkpoint, or ``None`` if the collection was never synced from this database."""
        rows = await self._session.fetch("sync_checkpoint", **self._key)
        if not rows:
            return None
        system_identifier, xid, node_id, progress, pending, witness_id, witness_at, capture_identity = rows[0]
        return Checkpoint(
            system_identifier,
            None if xid is None else Watermark(xid, node_id),
            progress,
            pending,
            Witness(witness_id, witness_at) if witness_id else None,
            capture_identity,
        )

    async def save(self, watermark: Watermark) -> None:
        """Move the watermark."""
        await self._session.execute(
            "sync_save_checkpoint",
            **self._key,
            system_identifier=self._system_identifier,
            xid=watermark.xid,
            id=watermark.id,
            capture_identity=self._capture_identity,
        )

    async def save_witness(self, witness: Witness) -> None:
        """Store which point was written last."""
        await self._session.execute(
            "sync_save_witness", **self._key, witness_id=witness.id, witness_written_at=witness.written_at
        )

    async def announce(self, token: str, *, owed: bool) -> None:
        """Store which token the collection is about to get.

        :param owed: remove the watermark: only a complete comparison of everything sets one again
        """
        await self._session.execute(
            "sync_announce_progress",
            **self._key,
            system_identifier=self._system_identifier,
            pending=token,
            owed=owed,
        )

    async def arrive(self, token: str) -> None:
        """Store that the collection has this token."""
        await self._session.execute("sync_arrive_progress", **self._key, progress=token)

    async def mark_finished(self, kind: str) -> None:
        """Store that a run of this kind has just succeeded."""
        await self._session.execute("sync_mark_finished", **self._key, kind=kind)

    async def prune_tombstones(self) -> None:
        """Delete tombstones that every collection has taken, and those older than :data:`TOMBSTONE_DAYS`."""
        await self._session.execute("sync_prune_tombstones", keep_days=TOMBSTONE_DAYS)

    async def pruned_beyond(self, watermark: Watermark) -> bool:
        """Whether tombstones beyond a watermark were deleted."""
        return bool((await self._session.fetch("sync_pruned_beyond", xid=watermark.xid))[0][0])
