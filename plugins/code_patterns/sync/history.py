"""The run history: one row for each run, whatever becomes of it."""

from collections.abc import Mapping
from typing import Any

from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.sql import storable
from code_patterns.sync.diff import IdRange, Watermark


class RunHistory:
    """The table ``pattern_sync_runs``, as far as it is about one collection.

    :param session: holds the locks of the run
    :param collection: the real collection's name in Qdrant
    """

    def __init__(self, session: LockedSession, collection: str) -> None:
        self._session = session
        self._collection = collection

    async def start(
        self, run: RunIdentity, *, name: str, kind: str, id_range: IdRange | None, watermark: Watermark | None
    ) -> None:
        """Enter a run, and close the rows of those that were killed.

        :param name: the collection, as users write it
        :param kind: the kind of run
        :param id_range: what a shard writes
        :param watermark: where the run starts from
        """
        first_id, last_id = (id_range.first, id_range.last) if id_range else (None, None)
        async with self._session.transaction():
            await self._session.execute(
                "sync_abandon_runs", collection=self._collection, first_id=first_id, last_id=last_id
            )
            await self._session.execute(
                "sync_start_run",
                id=run.id,
                name=name,
                collection=self._collection,
                kind=kind,
                dag_id=run.dag_id,
                dag_run_id=run.dag_run_id,
                task_try=run.task_try,
                watermark_from=watermark.xid if watermark else None,
                first_id=first_id,
                last_id=last_id,
            )

    async def finish(self, run: RunIdentity, outcome: Mapping[str, Any], error: str | None) -> None:
        """Close the row of a run.

        :param outcome: the other parameters of ``sync_finish_run.sql``
        :param error: what the run failed with
        """
        await self._session.execute("sync_finish_run", id=run.id, **outcome, error=storable(error) if error else None)
