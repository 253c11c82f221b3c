"""What a sync remembers between runs: watermark, dead_letters, run history; and the locks that keep others out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg

from code_patterns.errors import OutageError
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.postgres import PostgresConfig, connect, database_errors
from code_patterns.sql import query
from code_patterns.sync.diff import IdRange, Watermark
from code_patterns.sync.source import Horizon

log = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 1.0
LOCK_LOG_SECONDS = 60.0

Stage = Literal["read", "embed", "write"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row that could not be synced.

    :param id: the row's id
    :param stage: where its way ended
    :param error: why, in words
    """

    id: UUID
    stage: Stage
    error: str


@dataclass(frozen=True)
class Lock:
    """A PostgreSQL advisory lock of a session.

    :param space: what kind of thing is locked
    :param key: which one
    :param shared: whether others may hold it too, all of them shared
    """

    space: str
    key: str
    shared: bool = False


def locks_of(collection: str, id_range: IdRange | None) -> tuple[Lock, ...]:
    """What a run must hold to write a collection, in the order in which it is taken.

    A shard takes its range before its share of the collection: whoever holds the collection never waits for anything,
    so runs cannot block each other for ever.

    :param collection: the real collection's name in Qdrant
    :param id_range: what a shard writes; ``None`` for any other run, which has the collection for itself
    """
    if id_range is None:
        return (Lock("code_patterns sync", collection),)
    return (
        Lock("code_patterns shard", f"{collection} {id_range.first} {id_range.last}"),
        Lock("code_patterns sync", collection, shared=True),
    )


class SyncState:
    """State of one collection, in tables beside the patterns.

    Everything is written on one connection, the one that holds the run's advisory locks: when that session dies,
    nothing more can be recorded in its name.

    :param config: the database
    :param connection: an open connection in autocommit mode
    """

    def __init__(self, config: PostgresConfig, connection: psycopg.AsyncConnection) -> None:
        self._config = config
        self._connection = connection
        self._collection = ""
        self._failed: set[UUID] = set()
        self._locks: tuple[Lock, ...] = ()
        self._id_range: IdRange | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, config: PostgresConfig) -> AsyncIterator["SyncState"]:
        """Connect; nothing is known and nothing locked until a collection is chosen."""
        async with await connect(config, autocommit=True) as connection:
            yield cls(config, connection)

    @property
    def dead_letter_ids(self) -> frozenset[UUID]:
        """Rows that are parked as dead letters now."""
        return frozenset(self._failed)

    async def look_at(self, collection: str) -> None:
        """Read the state of a collection without becoming its only run: enough for a dry run.

        :param collection: the real collection's name in Qdrant
        """
        self._collection = collection
        self._failed = {row[0] for row in await self._fetch("sync_dead_letter_ids")}

    async def lock(self, collection: str, id_range: IdRange | None = None) -> None:
        """Become the only sync run of a collection, or of an id range of it, however long another one takes.

        The locks end with the session, so a killed run never leaves them behind.

        :param collection: the real collection's name in Qdrant
        :param id_range: what a shard writes, beside shards of other ranges; ``None`` shuts all others out
        """
        self._locks, self._id_range = locks_of(collection, id_range), id_range
        for lock in self._locks:
            waited = 0.0
            while not (await self._fetch("sync_lock_shared" if lock.shared else "sync_lock", lock))[0][0]:
                if waited % LOCK_LOG_SECONDS == 0:
                    holders = await self._fetch("sync_lock_holder", lock)
                    who = ", ".join(f"pid {pid} ({name}, for {age:.0f} s)" for pid, name, age in holders)
                    log.info("Waiting: %s is syncing '%s' now.", who or "another run", collection)
                await asyncio.sleep(LOCK_POLL_SECONDS)
                waited += LOCK_POLL_SECONDS
        await self.look_at(collection)

    async def assert_locked(self) -> None:
        """Make sure that this run still keeps others out; called before every write to Qdrant.

        Without it a run that lost its session would overwrite what the next one, which no longer waits, has written.

        :raises OutageError: the session, or a lock in it, is gone
        """
        for lock in self._locks:
            if not (await self._fetch("sync_lock_held", lock))[0][0]:
                raise OutageError(
                    f"The session of {self._config.address} that held the lock of '{self._collection}' was exchanged "
                    "for another one, as poolers in transaction mode do. Connect to PostgreSQL itself; the next try "
                    "goes on from there."
                )

    async def watermark(self, target_identity: str, horizon: Horizon) -> Watermark | str:
        """Where the last run stopped, or in words why that cannot be used.

        :param target_identity: identity of the Qdrant collection that is written now
        :param horizon: where this run will stop
        """
        rows = await self._fetch("sync_checkpoint")
        if not rows:
            return "this collection was never synced from this database"
        identity, system_identifier, xid, node_id = rows[0]
        if system_identifier != horizon.system_identifier:
            return "the database was restored or moved to another PostgreSQL cluster, so transaction ids started over"
        if identity != target_identity:
            return "the Qdrant collection is not the one that was synced last"
        if xid >= horizon.xid:
            return "the watermark is ahead of the database, as after a restore"
        return Watermark(xid, node_id)

    async def record(
        self,
        *,
        done: Iterable[UUID],
        dead_letters: Iterable[DeadLetter],
        watermark: Watermark | None,
        target_identity: str,
        system_identifier: str,
    ) -> None:
        """Record one acknowledged batch in one transaction.

        :param done: rows that Qdrant now holds as they should be
        :param dead_letters: rows that are parked instead
        :param watermark: how far the batch reached; ``None`` leaves the watermark alone
        :param target_identity: identity of the collection that was written
        :param system_identifier: the PostgreSQL cluster the watermark belongs to
        """
        recovered = self._failed.intersection(done)
        parked = list(dead_letters)
        if not (recovered or parked or watermark):
            return
        async with database_errors(self._config), self._connection.transaction():
            if recovered:
                await self._execute("sync_clear_dead_letters", ids=list(recovered))
            for dead_letter in parked:
                await self._execute(
                    "sync_park_dead_letter",
                    node_id=dead_letter.id,
                    stage=dead_letter.stage,
                    error=_storable(dead_letter.error),
                )
            if watermark:
                await self._execute(
                    "sync_save_checkpoint",
                    target_identity=target_identity,
                    system_identifier=system_identifier,
                    xid=watermark.xid,
                    id=watermark.id,
                )
        self._failed.difference_update(recovered)
        self._failed.update(dead_letter.id for dead_letter in parked)

    async def clear_dead_letters(self, ids: Sequence[UUID]) -> None:
        """Take rows from the dead_letters because there is nothing left to sync."""
        if ids:
            async with database_errors(self._config):
                await self._execute("sync_clear_dead_letters", ids=list(ids))
            self._failed.difference_update(ids)

    async def start_run(self, run: RunIdentity, name: str, kind: str, watermark: Watermark | None) -> None:
        """Open this run in the history and close those that were killed.

        :param name: the collection, as users write it
        """
        async with database_errors(self._config), self._connection.transaction():
            id_range = {
                "first_id": self._id_range.first if self._id_range else None,
                "last_id": self._id_range.last if self._id_range else None,
            }
            await self._execute("sync_abandon_runs", **id_range)
            await self._execute(
                "sync_start_run",
                id=run.id,
                name=name,
                kind=kind,
                dag_id=run.dag_id,
                dag_run_id=run.dag_run_id,
                task_try=run.task_try,
                watermark_from=watermark.xid if watermark else None,
                **id_range,
            )

    async def finish_run(self, run: RunIdentity, outcome: Mapping[str, Any]) -> None:
        """Close this run in the history.

        :param outcome: the parameters of ``sync_finish_run.sql`` besides ``id``
        """
        async with database_errors(self._config), self._connection.transaction():
            outcome = {**outcome, "error": _storable(outcome["error"]) if outcome["error"] else None}
            await self._execute("sync_finish_run", id=run.id, **outcome)
            if outcome["status"] == "succeeded":
                await self._execute("sync_mark_finished", kind=outcome["kind"])

    async def forget(self, collection: str) -> None:
        """Drop watermark and dead_letters of a collection that no run follows any more."""
        async with database_errors(self._config), self._connection.transaction():
            await self._connection.execute(query("sync_forget_checkpoint"), {"collection": collection})
            await self._connection.execute(query("sync_forget_dead_letters"), {"collection": collection})

    async def prune_tombstones(self) -> None:
        """Forget deletions that every collection has seen."""
        async with database_errors(self._config):
            await self._execute("sync_prune_tombstones")

    async def _execute(self, name: str, /, **parameters: Any) -> None:
        await self._connection.execute(query(name), {"collection": self._collection, **parameters})

    async def _fetch(self, name: str, lock: Lock | None = None) -> list[tuple[Any, ...]]:
        parameters = asdict(lock) if lock else {"collection": self._collection}
        async with database_errors(self._config):
            cursor = await self._connection.execute(query(name), parameters)
            return await cursor.fetchall()


def _storable(text: str) -> str:
    """Keep the first 2,000 characters that a text column can hold: servers quote their input, poison included."""
    return text[:2000].replace("\0", "?").encode("utf-8", "replace").decode()
