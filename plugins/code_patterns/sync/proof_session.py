"""The proof's own access to PostgreSQL: a session, a horizon and statements that no sync uses."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import AsyncRowFactory, args_row, tuple_row

from code_patterns.codes import Code
from code_patterns.errors import OutageError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import database_errors
from code_patterns.servers.postgres_psycopg import connect
from code_patterns.sql import query
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import IdRange
from code_patterns.sync.pattern import SourceRow
from code_patterns.sync.row_filter import ALL_ROWS, RowFilter

_DIGEST_MARK = b"/* digest */"
Row = TypeVar("Row")


class ProofSession:
    """A separate session, on which nothing is written.

    :param config: the database
    :param connection: an open connection in autocommit mode, used by nothing else
    :param system_identifier: the cluster of the synced rows
    :param only: which code patterns are to be in Qdrant
    :ivar horizon: the oldest transaction that was open when the proof began
    """

    def __init__(
        self,
        config: PostgresConfig,
        connection: psycopg.AsyncConnection,
        system_identifier: str,
        only: RowFilter = ALL_ROWS,
    ) -> None:
        self._config = config
        self._connection = connection
        self._system_identifier = system_identifier
        self._only = only
        self.horizon = 0

    @classmethod
    async def open(cls, config: PostgresConfig, system_identifier: str, only: RowFilter = ALL_ROWS) -> "ProofSession":
        """Open a new connection."""
        return cls(config, await connect(config, autocommit=True), system_identifier, only)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def begin(self) -> None:
        """Begin a proof: take the horizon.

        :raises OutageError: another cluster answers now
        """
        [(self.horizon, identifier)] = await self._fetch("sync_proof_horizon")
        if identifier != self._system_identifier:
            raise OutageError(
                Code.CLUSTER_EXCHANGED,
                f"Another PostgreSQL cluster answers at {self._config.address} than at the start of this run, as after "
                "a failover to a copy. Nothing is proven; the next try starts again with what answers then.",
            )

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Open a snapshot of the table; :meth:`rows` and :meth:`digests` work only inside.

        Meanwhile VACUUM cannot remove newer dead rows; writers wait for no lock.
        """
        await self._connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await self._connection.set_read_only(True)
        async with database_errors(self._config, self._connection), self._connection.transaction():
            yield

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[tuple[int, datetime]]:
        """Open a snapshot of the table; gives its number of code patterns, and its time by the database's clock."""
        async with self.reading():
            [(count, at)] = await self._fetch("sync_proof_count")
            yield count, at

    async def rows(self, within: IdRange) -> AsyncGenerator[list[SourceRow]]:
        """The code patterns of an id range of the snapshot with their digests, in id order, read by one statement."""
        await self._declare("sync_proof_rows", first_id=within.first, last_id=within.last)
        async for rows in self._fetched("sync_proof_fetch", args_row(SourceRow)):
            yield rows
        async with database_errors(self._config, self._connection):
            await self._connection.execute(query("sync_proof_close"))

    async def digests(self, ranges: Sequence[IdRange]) -> AsyncGenerator[list[tuple[UUID, int, bytes]]]:
        """First id, number of code patterns, and digest of these ranges of the snapshot, in pages.

        :param ranges: in id order
        """
        if not ranges:
            return
        await self._declare(
            "sync_proof_digests", first_ids=[ids.first for ids in ranges], last_ids=[ids.last for ids in ranges]
        )
        async for page in self._fetched("sync_proof_fetch_digests", tuple_row):
            yield page

    async def _declare(self, name: str, **parameters: Any) -> None:
        statement = self._only.applied(query(name).replace(_DIGEST_MARK, query("sync_row_digest")))
        async with database_errors(self._config, self._connection):
            await self._connection.execute(statement, {**parameters, **self._only.parameters})

    async def _fetched(self, name: str, form: AsyncRowFactory[Row]) -> AsyncIterator[list[Row]]:
        while True:
            async with (
                database_errors(self._config, self._connection),
                self._connection.cursor(row_factory=form) as cursor,
            ):
                await cursor.execute(query(name))
                found = await cursor.fetchall()
            if not found:
                return
            yield found

    async def moving(self, ids: Sequence[UUID], horizon: int) -> set[UUID]:
        """Which of these ids a transaction from the horizon until now really wrote or deleted."""
        rows = await self._fetch("sync_proof_moving", ids=list(ids), horizon=horizon)
        return {row[0] for row in rows}

    async def parked(self, ids: Sequence[UUID], collection: Collection) -> set[UUID]:
        """Which of these ids are dead letters of a collection, and not of one that had its name before."""
        rows = await self._fetch(
            "sync_proof_parked", ids=list(ids), collection=collection.physical, target_identity=collection.identity
        )
        return {row[0] for row in rows}

    async def _fetch(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with database_errors(self._config, self._connection):
            statement = self._only.applied(query(name))
            cursor = await self._connection.execute(statement, {**parameters, **self._only.parameters})
            return await cursor.fetchall()
