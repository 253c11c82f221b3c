"""The checkpoint of a collection: what is stored between runs, so that each starts where the last one stopped."""

from dataclasses import dataclass

from code_patterns.servers.locks import LockedSession
from code_patterns.sync.capture import TABLE, Capture
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import Watermark
from code_patterns.sync.identity import Witness

TOMBSTONE_DAYS = 30
"""How long a deletion is remembered for a collection that has not taken it."""


@dataclass(frozen=True)
class Checkpoint:
    """How far a collection is, from the database's side.

    :param system_identifier: the PostgreSQL cluster, whose transaction ids the watermark holds
    :param watermark: everything up to here has arrived; ``None`` where everything must be compared first
    :param progress: the token that the collection should hold
    :param pending: the token that it may hold already
    :param witness: the point that was written last, where that is known
    :param capture_identity: of :class:`~code_patterns.sync.capture.Capture`; ``None`` where it was not complete
    """

    system_identifier: str
    watermark: Watermark | None = None
    progress: str | None = None
    pending: str | None = None
    witness: Witness | None = None
    capture_identity: str | None = None

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
        """The checkpoint, or ``None`` where the collection was never synced from this database."""
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
        """Remember which point was written last."""
        await self._session.execute(
            "sync_save_witness", **self._key, witness_id=witness.id, witness_written_at=witness.written_at
        )

    async def announce(self, token: str, *, owed: bool) -> None:
        """Note which token the collection is about to get.

        :param owed: forget the watermark: nothing but a comparison of everything, to its end, gives another one
        """
        await self._session.execute(
            "sync_announce_progress",
            **self._key,
            system_identifier=self._system_identifier,
            pending=token,
            owed=owed,
        )

    async def arrive(self, token: str) -> None:
        """Note that the collection has this token."""
        await self._session.execute("sync_arrive_progress", **self._key, progress=token)

    async def mark_finished(self, kind: str) -> None:
        """Note that a run of this kind has just ended well."""
        await self._session.execute("sync_mark_finished", **self._key, kind=kind)

    async def prune_tombstones(self) -> None:
        """Forget deletions that every collection has seen, and those older than :data:`TOMBSTONE_DAYS`."""
        await self._session.execute("sync_prune_tombstones", keep_days=TOMBSTONE_DAYS)

    async def pruned_beyond(self, watermark: Watermark) -> bool:
        """Whether deletions were forgotten that lie beyond a watermark."""
        return bool((await self._session.fetch("sync_pruned_beyond", xid=watermark.xid))[0][0])
