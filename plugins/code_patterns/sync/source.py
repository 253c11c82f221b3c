"""Read patterns from PostgreSQL, in short statements, so that no run holds a snapshot open."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import args_row

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import database_errors, hidden_rows
from code_patterns.servers.postgres_psycopg import connect
from code_patterns.sql import query, query_over
from code_patterns.sync.capture import Capture, judge, refuse_other_than_table
from code_patterns.sync.diff import ALL_IDS, FIRST_ID, LAST_ID, IdRange, Watermark
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.pattern import SourceRow
from code_patterns.sync.row_filter import ALL_ROWS, RowFilter
from code_patterns.sync.snapshot import Snapshot, Span

PAGE_ROWS = 500
"""Most rows of a page."""
PAGE_BYTES = 8 * 1024 * 1024
"""Most bytes of code and metadata in a page, as PostgreSQL stores them, unless its first row is larger."""
LOOKUP_ROWS = 50
"""Most rows that are read by their ids at a time: their size is not known before."""


@dataclass(frozen=True)
class Horizon:
    """Where a run stops reading.

    :param snapshot: which transactions are over
    :param system_identifier: the PostgreSQL cluster of the transaction ids
    :param incarnation: the running server and the files of its database; any way to restore it changes this
    :param at: when it was taken, by the database's clock
    """

    snapshot: Snapshot
    system_identifier: str
    incarnation: str = ""
    at: datetime = datetime.min

    @property
    def xid(self) -> int:
        """Changes by transactions before this one are all visible; those of later ones may be left to the next run."""
        return self.snapshot.horizon

    @property
    def watermark(self) -> Watermark:
        """The watermark of a run that has read everything below the horizon."""
        return self.snapshot.watermark

    def since(self, after: Watermark) -> Span:
        """What changed after a watermark and before the horizon."""
        return Span(after, Snapshot.before(self.xid))


@dataclass(frozen=True)
class Look:
    """What the database says about changes.

    :param snapshot: which transactions are over now
    :param at: the database's time
    :param changed: whether it shows changes that the earlier snapshot did not
    """

    snapshot: Snapshot
    at: datetime
    changed: bool


@dataclass(frozen=True, slots=True)
class Lag:
    """Changes that are left to the next run.

    :param seconds: age of the oldest one; 0 if there is none
    :param rows: how many rows
    """

    seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A row that was deleted.

    :param id: the id that it had
    :param deleted_at: start of the transaction that deleted it
    """

    id: UUID
    deleted_at: datetime


@dataclass(frozen=True)
class OpenTransaction:
    """The transaction that holds the horizon back.

    :param pid: its server process; ``None`` if it is prepared
    :param age_seconds: since it began, or was prepared
    :param application: the program that opened it
    :param gid: the name by which it was prepared
    :param database: where it can be ended then
    """

    pid: int | None
    age_seconds: float
    application: str | None
    gid: str | None = None
    database: str | None = None

    @property
    def told(self) -> str:
        """What it is, how old it is, and what that means."""
        told = f"has been open for {self.age_seconds:.0f} s: changes made since it began wait for its end."
        if self.pid is not None:
            return f"A transaction of pid {self.pid} ({self.application}) {told}"
        return (
            f"The prepared transaction '{self.gid}' of database '{self.database}' {told} Nobody ends it by itself: "
            "there, run COMMIT PREPARED or ROLLBACK PREPARED with that name."
        )


class PatternSource:
    """The table ``pattern_lineage_nodes`` as the sync reads it.

    :param config: where it is
    :param connection: an open connection in autocommit mode
    :param only: which code patterns there are for this run; all other rows are like rows of another type
    """

    def __init__(self, config: PostgresConfig, connection: psycopg.AsyncConnection, only: RowFilter = ALL_ROWS) -> None:
        self.config = config
        self.only = only
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, config: PostgresConfig, only: RowFilter = ALL_ROWS) -> AsyncIterator["PatternSource"]:
        """Connect, and check that the tables exist.

        :param only: which code patterns there are for this run
        :raises ConfigurationError: the login fails, ``schema_migration`` has not run, or the source is not a table
        """
        connection = await connect(config, autocommit=True)
        async with connection:
            source = cls(config, connection, only)
            [(kind, missing, hidden)] = await source._fetch("sync_obstacles")
            refuse_other_than_table(kind)
            if missing:
                raise ConfigurationError(
                    Code.SCHEMA_INCOMPLETE,
                    f"The database of {config.address} lacks {', '.join(missing)}. Run schema_migration first.",
                )
            if hidden:
                raise hidden_rows(hidden, f"PostgreSQL at {config.address}", config.user)
            yield source

    async def capture(self) -> Capture:
        """Check whether every change of the table is recorded.

        :raises ConfigurationError: the source is not a table
        """
        rows = await self._fetch_over("sync_capture", "schema_trigger_facts")
        return judge(*rows[0]) if rows else Capture("", ("the table is missing",))

    async def identity(self) -> DatabaseIdentity:
        """Return the identity of this database.

        :raises ConfigurationError: its row in ``pattern_sync_database`` is gone
        """
        rows = await self._fetch("sync_database")
        if not rows:
            raise ConfigurationError(
                Code.DATABASE_UNNAMED,
                f"The table pattern_sync_database of {self.config.address} is empty, so that nothing tells this "
                "database from others. Restore its row, or make a new one with the login that owns the table: INSERT "
                "INTO pattern_sync_database DEFAULT VALUES; the next full sync then needs the Param take_over.",
            )
        [(database_id, name, system_identifier)] = rows
        return DatabaseIdentity(database_id, name, system_identifier, f"{self.config.host}:{self.config.port}")

    async def horizon(self) -> Horizon:
        """Take the horizon: where this run stops reading."""
        [(snapshot, *rest)] = await self._fetch("sync_horizon")
        return Horizon(Snapshot(snapshot), *rest)

    async def look(self, seen: Snapshot) -> Look:
        """Look for changes that a snapshot did not show, also behind an older transaction that is still open."""
        [(snapshot, at, changed)] = await self._fetch("sync_look", seen=seen.text)
        return Look(Snapshot(snapshot), at, changed)

    async def tombstones_pruned_beyond(self, watermark: Watermark) -> bool:
        """Whether deletions after a watermark are forgotten."""
        [(pruned,)] = await self._fetch("sync_pruned_beyond", xid=watermark.xid)
        return bool(pruned)

    async def oldest_transaction(self) -> OpenTransaction | None:
        """Find the transaction that holds the horizon back: the oldest open one that writes."""
        rows = await self._fetch("sync_oldest_transaction")
        return OpenTransaction(*rows[0]) if rows else None

    async def changed_pages(self, span: Span) -> AsyncIterator[list[SourceRow]]:
        """Rows of any type that changed in a span, in watermark order."""
        for part in span.parts():
            left = part
            while rows := await self._rows(
                "sync_changed_rows", **left.parameters, page=PAGE_ROWS, page_bytes=PAGE_BYTES
            ):
                yield rows
                left = replace(left, after=Watermark(rows[-1].sync_xid or 0, rows[-1].id))

    async def newest_page(self, span: Span, most: int) -> AsyncIterator[list[SourceRow]]:
        """Some of the rows that changed in a span, the newest transaction first, in one page.

        :param most: most rows
        """
        yield await self._rows("sync_newest_rows", **span.parameters, page=most, page_bytes=PAGE_BYTES)

    async def tombstone_pages(self, span: Span) -> AsyncIterator[list[Tombstone]]:
        """Rows deleted in a span, in watermark order."""
        for part in span.parts():
            left = part
            while rows := await self._fetch("sync_tombstones", **left.parameters, page=PAGE_ROWS):
                yield [Tombstone(node_id, deleted_at) for node_id, _, deleted_at in rows]
                if len(rows) < PAGE_ROWS:
                    break
                left = replace(left, after=Watermark(rows[-1][1], rows[-1][0]))

    async def code_pages(self, within: IdRange = ALL_IDS) -> AsyncIterator[list[SourceRow]]:
        """The code patterns of an id range, by default all, in id order."""
        async for rows in self._pages_by_id("sync_code_rows", within.first, last_id=within.last):
            yield rows

    async def interval_pages(self, start: datetime, end: datetime) -> AsyncIterator[list[SourceRow]]:
        """Rows of any type created or updated in ``[start, end)``, in id order."""
        async for rows in self._pages_by_id("sync_interval_rows", FIRST_ID, start=start, end=end):
            yield rows

    async def rows_by_id(self, ids: Sequence[UUID]) -> dict[UUID, SourceRow]:
        """The rows with these ids as they are now."""
        return {row.id: row for row in await self._rows("sync_rows_by_id", ids=list(ids), page_bytes=None)}

    async def lag(self, seen: Snapshot) -> Lag:
        """What a snapshot did not show, and what is visible now."""
        [row] = await self._fetch("sync_lag", seen=seen.text)
        return Lag(*row)

    async def count_changed(self, span: Span) -> int:
        """How many rows :meth:`changed_pages` returns."""
        return sum([await self._count("sync_changed_count", **part.parameters) for part in span.parts()])

    async def count_code(self, within: IdRange = ALL_IDS) -> int:
        """How many code patterns there are in an id range, by default in all."""
        return await self._count("sync_code_count", first_id=within.first, last_id=within.last)

    async def count_recorded_deletions(self, ids: Sequence[UUID]) -> int:
        """How many of these ids have a tombstone."""
        return await self._count("sync_recorded_deletions", ids=list(ids))

    async def sample_ids(self, count: int) -> list[UUID]:
        """Ids of code patterns, spread evenly, in order; fewer if there are fewer patterns."""
        fractions = [(number + 0.5) / count for number in range(count)]
        return [row[0] for row in await self._fetch("sync_sample_ids", fractions=fractions)]

    async def count_interval(self, start: datetime, end: datetime) -> int:
        """How many rows :meth:`interval_pages` returns."""
        return await self._count("sync_interval_count", start=start, end=end)

    async def _pages_by_id(self, name: str, from_id: UUID, /, **parameters: Any) -> AsyncIterator[list[SourceRow]]:
        while True:
            rows = await self._rows(name, from_id=from_id, page=PAGE_ROWS, page_bytes=PAGE_BYTES, **parameters)
            if not rows:
                return
            yield rows
            if rows[-1].id == LAST_ID:
                return
            from_id = UUID(int=rows[-1].id.int + 1)

    async def _rows(self, name: str, **parameters: Any) -> list[SourceRow]:
        async with (
            database_errors(self.config, self._connection),
            self._connection.cursor(row_factory=args_row(SourceRow)) as cursor,
        ):
            statement = self.only.applied(query_over("sync_rows", name))
            await cursor.execute(statement, {**parameters, **self.only.parameters})
            return await cursor.fetchall()

    async def _fetch(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with database_errors(self.config, self._connection):
            statement = self.only.applied(query(name))
            cursor = await self._connection.execute(statement, {**parameters, **self.only.parameters})
            return await cursor.fetchall()

    async def _fetch_over(self, name: str, rows: str) -> list[tuple[Any, ...]]:
        async with database_errors(self.config, self._connection):
            return await (await self._connection.execute(query_over(name, rows))).fetchall()

    async def _count(self, name: str, **parameters: Any) -> int:
        [(count,)] = await self._fetch(name, **parameters)
        return int(count)
