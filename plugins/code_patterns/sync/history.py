"""The run history: one row for each run, however it ends."""

import asyncio
from collections.abc import Mapping
from typing import Any

from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.sql import storable
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import IdRange, Watermark
from code_patterns.sync.sync_target import SyncTarget


class RunHistory:
    """The rows of one target and collection in ``pattern_sync_runs``.

    :param session: holds the locks of the run
    :param collection: the collection, which knows its target
    """

    def __init__(self, session: LockedSession, collection: Collection) -> None:
        self._session = session
        self._collection = collection

    async def start(
        self, run: RunIdentity, *, name: str, kind: str, id_range: IdRange | None, watermark: Watermark | None
    ) -> None:
        """Add the row of a run, and mark killed runs as abandoned.

        :param name: the collection, as users write it
        :param kind: the kind of run
        :param id_range: the range of a shard
        :param watermark: where the run starts
        """
        first_id, last_id = (id_range.first, id_range.last) if id_range else (None, None)
        await self._session.execute(
            "sync_start_run",
            id=run.id,
            name=name,
            target=self._collection.target.name,
            collection=self._collection.physical,
            target_identity=self._collection.identity,
            kind=kind,
            dag_id=run.dag_id,
            dag_run_id=run.dag_run_id,
            task_try=run.task_try,
            watermark_from=watermark.xid if watermark else None,
            first_id=first_id,
            last_id=last_id,
        )

    async def proof_age_seconds(self, name: str) -> float | None:
        """Return how many seconds ago a run of this target last proved both sides equal; ``None`` if none did.

        :param name: the collection, as users write it
        """
        return await proof_age_seconds(self._session, name, self._collection.target)

    async def note(self, run: RunIdentity, progress: Mapping[str, Any]) -> None:
        """Store what a run that is still working has done so far.

        :param progress: the other parameters of ``sync_note_progress.sql``
        """
        await self._session.execute("sync_note_progress", id=run.id, **progress)

    async def finish(self, run: RunIdentity, outcome: Mapping[str, Any], error: BaseException | None) -> None:
        """Complete the row of a run.

        :param outcome: the parameters of ``sync_finish_run.sql`` except ``id``, ``status`` and ``error``
        :param error: what ended the run, if it did not succeed
        """
        # Airflow stops a task by a signal, which cancels its work.
        status = "stopped" if isinstance(error, asyncio.CancelledError) else "failed" if error else "succeeded"
        text = storable(f"{error}") if error else None
        await self._session.execute("sync_finish_run", id=run.id, **outcome, status=status, error=text)


async def proof_age_seconds(session: LockedSession, name: str, target: SyncTarget) -> float | None:
    """See :meth:`RunHistory.proof_age_seconds`."""
    rows = await session.fetch("sync_proof_age", name=name, target=target.name)
    return float(rows[0][0]) if rows else None
