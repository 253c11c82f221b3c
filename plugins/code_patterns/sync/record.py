"""What a run records in PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.sync.capture import Capture
from code_patterns.sync.checkpoint import Checkpoints
from code_patterns.sync.collection import Collection
from code_patterns.sync.dead_letters import DeadLetter, DeadLetters
from code_patterns.sync.diff import Watermark
from code_patterns.sync.history import RunHistory
from code_patterns.sync.identity import Witness


class RunRecord:
    """The checkpoint, the dead letters and the run history of one collection.

    Everything is written on the connection that holds the run's locks. When its session dies, the run can record
    nothing more.

    :param session: that connection
    :param collection: the collection
    :param system_identifier: the PostgreSQL cluster
    :param capture: whether every change of the rows is recorded
    """

    def __init__(
        self, session: LockedSession, collection: Collection, system_identifier: str, capture: Capture
    ) -> None:
        self._session = session
        self.checkpoints = Checkpoints(session, collection, system_identifier, capture)
        self.dead_letters = DeadLetters(session, collection)
        self.history = RunHistory(session, collection.physical)

    async def assert_locked(self) -> None:
        """Check that this run still holds its locks; see :meth:`LockedSession.assert_held`."""
        await self._session.assert_held()

    async def save_batch(
        self,
        done: Iterable[UUID],
        parked: Sequence[DeadLetter],
        watermark: Watermark | None,
        witness: Witness | None = None,
    ) -> None:
        """Record one acknowledged batch, in one transaction.

        :param done: rows that are synced
        :param parked: rows that become dead letters
        :param watermark: how far the batch reached; ``None`` leaves the checkpoint alone
        :param witness: what was written last, if anything was
        """
        recovered = self.dead_letters.ids.intersection(done)
        if not (recovered or parked or watermark):
            return
        async with self._session.transaction():
            await self.dead_letters.clear(recovered)
            await self.dead_letters.park(parked)
            if watermark:
                await self.checkpoints.save(watermark)
                if witness:
                    await self.checkpoints.save_witness(witness)

    async def finish(self, run: RunIdentity, outcome: Mapping[str, Any], error: str | None) -> None:
        """Record the end of the run in the history; after a success also in the checkpoint.

        :param outcome: the parameters of ``sync_finish_run.sql`` except ``id`` and ``error``
        :param error: the error that ended the run
        """
        async with self._session.transaction():
            await self.history.finish(run, outcome, error)
            if error is None:
                await self.checkpoints.mark_finished(outcome["kind"])

    async def forget(self, physical: str, identity: str) -> None:
        """Delete the checkpoint and the dead letters of a collection that no run writes any more."""
        async with self._session.transaction():
            for name in ("sync_forget_checkpoint", "sync_forget_dead_letters"):
                await self._session.execute(name, collection=physical, target_identity=identity)
