"""What a run records in PostgreSQL."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.sync.capture import Capture
from code_patterns.sync.collection import Collection
from code_patterns.sync.dead_letters import DeadLetter, DeadLetters
from code_patterns.sync.diff import Change, Watermark
from code_patterns.sync.digests import Digests, RangeDigest
from code_patterns.sync.history import RunHistory
from code_patterns.sync.identity import Witness
from code_patterns.sync.outbox import Outbox
from code_patterns.sync.snapshot import Snapshot
from code_patterns.sync.source import Lag


class RunRecord:
    """Writes the checkpoint, the dead letters and the run history of one collection.

    Everything is written on the connection that holds the run's locks. When its session dies, the run can record
    nothing more.

    :param session: that connection
    :param collection: the collection
    :param system_identifier: the PostgreSQL cluster
    :param capture: whether every change of the rows is recorded
    :param dead_letters: those of the collection
    :param outbox: where events about points are kept, if Kafka is to be told
    :param witness_id: the point by which the collection is known, see :class:`~code_patterns.sync.identity.Witness`
    """

    def __init__(
        self,
        session: LockedSession,
        collection: Collection,
        system_identifier: str,
        capture: Capture,
        dead_letters: DeadLetters,
        outbox: Outbox | None = None,
        witness_id: UUID | None = None,
    ) -> None:
        self._session = session
        self._key = {"collection": collection.physical, "target_identity": collection.identity}
        self._system_identifier = system_identifier
        self._capture_identity = capture.identity if capture.complete else None
        self.dead_letters = dead_letters
        self.outbox = outbox
        self.witness_id = witness_id
        # Batches share the connection: a statement of one must not become part of the transaction of another.
        self._turn = asyncio.Lock()
        self.history = RunHistory(session, collection)

    async def assert_locked(self) -> None:
        """Check that this run still holds its locks; see :meth:`LockedSession.assert_held`."""
        await self._session.assert_held()

    async def intend(self, changes: Sequence[Change]) -> None:
        """Note in the outbox what is about to be written, if Kafka is to be told."""
        if self.outbox:
            async with self._turn:
                await self.outbox.intend(changes)

    async def save_batch(
        self,
        done: Sequence[Change],
        parked: Sequence[DeadLetter],
        failed: Sequence[Change],
    ) -> None:
        """Record what became of the rows of one acknowledged batch, in one transaction.

        :param done: what is synced
        :param parked: rows that become dead letters
        :param failed: the changes that these rows were part of
        """
        ids = [change.id for change in done]
        known = self.dead_letters.ids
        recovered = known.intersection(ids)
        told = self.outbox is not None and self.outbox.concerns(ids)
        if not (recovered or parked or told):
            return
        async with self._turn, self._session.transaction():
            if self.outbox:
                await self.outbox.settle(done)
                await self.outbox.park(parked, known, failed)
            await self.dead_letters.clear(recovered)
            await self.dead_letters.park(parked)

    async def save_progress(self, watermark: Watermark, witness: Witness | None) -> None:
        """Record how far acknowledged batches reach, in one transaction.

        :param watermark: everything below it has arrived, or is a dead letter
        :param witness: what was written last, if anything was
        """
        async with self._turn, self._session.transaction():
            await self.move_watermark(watermark)
            if witness:
                await self.save_witness(witness)

    async def settle(self, done: Sequence[Change]) -> None:
        """Note in the outbox what is done apart from batches, if Kafka is to be told."""
        if self.outbox:
            async with self._turn:
                await self.outbox.settle(done)

    async def move_watermark(self, watermark: Watermark) -> None:
        """Move the watermark of the checkpoint."""
        await self._session.execute(
            "sync_save_checkpoint",
            **self._key,
            system_identifier=self._system_identifier,
            xid=watermark.xid,
            id=watermark.id,
            capture_identity=self._capture_identity,
        )

    async def note_arrived(self, snapshot: Snapshot, incarnation: str) -> None:
        """Store that everything has arrived which a snapshot shows, also beyond the watermark.

        :param incarnation: of the database, see :class:`~code_patterns.sync.source.Horizon`
        """
        await self._session.execute("sync_save_arrived", **self._key, snapshot=snapshot.text, incarnation=incarnation)

    async def behind(self) -> Lag:
        """What the checkpoint's next run has to do."""
        [row] = await self._session.fetch("sync_behind", **self._key)
        return Lag(*row)

    async def move_witness(self, witness: Witness) -> None:
        """Store another point as witness, beside the batches."""
        async with self._turn:
            await self.save_witness(witness)

    async def save_witness(self, witness: Witness) -> None:
        """Store which point was written last."""
        self.witness_id = witness.id
        await self._session.execute(
            "sync_save_witness", **self._key, witness_id=witness.id, witness_written_at=witness.written_at
        )

    async def announce(self, token: str, *, owed: bool) -> None:
        """Store which token the collection is about to get.

        :param owed: remove the watermark: only a complete comparison of everything sets one again
        """
        async with self._turn:
            await self._session.execute(
                "sync_announce_progress",
                **self._key,
                system_identifier=self._system_identifier,
                pending=token,
                owed=owed,
            )

    async def arrive(self, token: str) -> None:
        """Store that the collection has this token."""
        async with self._turn:
            await self._session.execute("sync_arrive_progress", **self._key, progress=token)

    async def mark_unfinished(self, incarnation: str) -> None:
        """Store that a run writes, until the next token has arrived.

        :param incarnation: of the database, see :class:`~code_patterns.sync.source.Horizon`
        """
        async with self._turn:
            await self._session.execute("sync_mark_unfinished", **self._key, incarnation=incarnation)

    async def digests(self, collection: Collection) -> Digests:
        """Read what is known of the collection's id ranges.

        :param collection: the collection as it is now
        """
        async with self._turn:
            rows = await self._session.fetch("sync_digests", **self._key)
        return Digests((RangeDigest(*row) for row in rows), collection.recipe, words=collection.words)

    async def keep(self, digests: Digests) -> None:
        """Store what was learnt of id ranges, in one transaction."""
        if not (learnt := digests.taken()):
            return
        known = [one for _, one in learnt if one]
        async with self._turn, self._session.transaction():
            await self._session.execute(
                "sync_drop_digests",
                **self._key,
                first_ids=[ids.first for ids, _ in learnt],
                last_ids=[ids.last for ids, _ in learnt],
            )
            await self._session.execute(
                "sync_save_digests",
                **self._key,
                first_ids=[one.first for one in known],
                rows=[one.rows for one in known],
                points=[one.points for one in known],
                whole_at=[one.whole_at for one in known],
            )

    async def verified_since(self, run: RunIdentity) -> datetime:
        """When the DAG run of a verification began, or its last try that came to a verdict ended."""
        async with self._turn:
            rows = await self._session.fetch(
                "sync_verified_since",
                **self._key,
                id=run.id,
                dag_id=run.dag_id,
                dag_run_id=run.dag_run_id,
            )
        since: datetime = rows[0][0]
        return since

    async def owe_comparison(self) -> None:
        """Let the next run compare everything, whatever its kind."""
        await self._session.execute("sync_owe_comparison", **self._key)

    async def finish(self, run: RunIdentity, outcome: Mapping[str, Any], error: BaseException | None) -> None:
        """Record the end of the run in the history; after a success also in the checkpoint.

        :param outcome: the parameters of ``sync_finish_run.sql`` except ``id``, ``status`` and ``error``
        :param error: what ended the run, if it did not succeed
        """
        async with self._session.transaction():
            await self.history.finish(run, outcome, error)
            if error is None:
                await self._session.execute("sync_mark_finished", **self._key, kind=outcome["kind"])

    async def forget(self, physical: str, identity: str) -> None:
        """Forget a collection that no run writes any more; see :func:`forget`."""
        await forget(self._session, physical, identity)


async def forget(session: LockedSession, physical: str, identity: str) -> None:
    """Delete the checkpoint, the dead letters, the digests and the events of a collection.

    :param physical: its real name
    :param identity: its identity
    """
    async with session.transaction():
        for name in ("sync_forget_checkpoint", "sync_forget_dead_letters", "sync_forget_digests", "outbox_forget"):
            await session.execute(name, collection=physical, target_identity=identity)
