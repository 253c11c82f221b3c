"""The proof's own access to PostgreSQL: a session, a horizon and statements that no sync uses."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import args_row

from code_patterns.errors import OutageError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import database_errors
from code_patterns.servers.postgres_psycopg import connect
from code_patterns.sql import query
from code_patterns.sync.pattern import SourceRow
from code_patterns.sync.row_filter import ALL_ROWS, RowFilter


class ProofSession:
    """A separate session, on which nothing is written.

    :param config: the database
    :param connection: an open connection in autocommit mode, used by nothing else
    :param horizon: the oldest transaction that was open when the proof started
    :param only: which code patterns are to be in Qdrant
    """

    def __init__(
        self, config: PostgresConfig, connection: psycopg.AsyncConnection, horizon: int, only: RowFilter = ALL_ROWS
    ) -> None:
        self._config = config
        self._connection = connection
        self.horizon = horizon
        self._only = only

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: PostgresConfig, system_identifier: str, only: RowFilter = ALL_ROWS
    ) -> AsyncIterator["ProofSession"]:
        """Open a new connection and take the horizon.

        :param system_identifier: the cluster of the synced rows
        :param only: which code patterns are to be in Qdrant
        :raises OutageError: another cluster answers now
        """
        connection = await connect(config, autocommit=True)
        async with connection:
            session = cls(config, connection, 0, only)
            [(session.horizon, identifier)] = await session._fetch("sync_proof_horizon")
            if identifier != system_identifier:
                raise OutageError(
                    f"Another PostgreSQL cluster answers at {config.address} than at the start of this run, as after a "
                    "failover to a copy. Nothing is proven; the next try starts again with what answers then."
                )
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[int]:
        """Open a snapshot of the table; gives its number of code patterns.

        :meth:`rows` works only inside. Meanwhile VACUUM cannot remove newer dead rows; writers wait for no lock.
        """
        await self._connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await self._connection.set_read_only(True)
        async with database_errors(self._config, self._connection), self._connection.transaction():
            [(count,)] = await self._fetch("sync_proof_count")
            yield count

    async def rows(self) -> AsyncIterator[list[SourceRow]]:
        """The code patterns of the snapshot, in id order, read by one statement."""
        async with database_errors(self._config, self._connection):
            await self._connection.execute(self._only.applied(query("sync_proof_rows")), self._only.parameters or None)
        fetch = query("sync_proof_fetch")
        while True:
            async with (
                database_errors(self._config, self._connection),
                self._connection.cursor(row_factory=args_row(SourceRow)) as cursor,
            ):
                await cursor.execute(fetch)
                rows = await cursor.fetchall()
            if not rows:
                return
            yield rows

    async def moving(self, ids: Sequence[UUID], horizon: int) -> set[UUID]:
        """Which of these ids a transaction from the horizon until now really wrote or deleted."""
        rows = await self._fetch("sync_proof_moving", ids=list(ids), horizon=horizon)
        return {row[0] for row in rows}

    async def parked(self, ids: Sequence[UUID], collection: str) -> set[UUID]:
        """Which of these ids are dead letters of a collection."""
        rows = await self._fetch("sync_proof_parked", ids=list(ids), collection=collection)
        return {row[0] for row in rows}

    async def _fetch(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with database_errors(self._config, self._connection):
            statement = self._only.applied(query(name))
            cursor = await self._connection.execute(statement, {**parameters, **self._only.parameters})
            return await cursor.fetchall()
