"""Dead letters: rows that could not be synced on their own account, parked until they can."""

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import shorten
from typing import Literal
from uuid import UUID

from code_patterns.servers.locks import LockedSession
from code_patterns.sql import storable
from code_patterns.sync.collection import Collection

Stage = Literal["read", "embed", "write"]

REASON_WIDTH = 96
"""Longest reason in the log, in characters: Airflow's log page does not wrap."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row that could not be synced.

    :param id: the row's id
    :param stage: where it failed: read, embed or write
    :param error: why
    :param changed: whether the row changed since the last try, so that its attempts start again
    """

    id: UUID
    stage: Stage
    error: str
    changed: bool = False


class DeadLetters:
    """The rows of one collection in ``pattern_sync_dead_letters``.

    :param session: holds the locks of the run, unless this is a dry run
    :param collection: the collection
    """

    def __init__(self, session: LockedSession, collection: Collection) -> None:
        self._session = session
        self._key = {"collection": collection.physical, "target_identity": collection.identity}
        self._ids: set[UUID] = set()
        self._due: frozenset[UUID] = frozenset()

    @property
    def ids(self) -> frozenset[UUID]:
        """Rows that are parked now, as this run knows."""
        return frozenset(self._ids)

    @property
    def due(self) -> frozenset[UUID]:
        """Those that were due when the run started: each failure doubles the wait, up to a week."""
        return self._due

    async def read(self) -> None:
        """Read which rows earlier runs parked."""
        rows = await self._session.fetch("sync_dead_letter_ids", **self._key)
        self._ids = {node_id for node_id, _ in rows}
        self._due = frozenset(node_id for node_id, due in rows if due)

    async def told(self, count: int) -> str | None:
        """Name some that are parked now, those of the longest time first, for the log; ``None`` if there are none.

        :param count: most that are named
        """
        if not self._ids:
            return None
        lines = [
            f"{len(self._ids):,} patterns are parked as dead letters.",
            "Qdrant has none of them, or an older version. The first:",
        ]
        for node_id, stage, error in await self._session.fetch("sync_first_dead_letters", **self._key, count=count):
            lines += [f"  {node_id}, {stage}:", f"    {shorten(error, REASON_WIDTH)}"]
        return "\n".join(
            [
                *lines,
                "All of them, with when each is tried again; the Param retry_dead_letters tries all now:",
                # For a person; it is not run. A lost collection of this name may have left some, too.
                f"  SELECT * FROM pattern_sync_dead_letters WHERE collection = '{self._key['collection']}'",  # noqa: S608
                f"    AND target_identity = '{self._key['target_identity']}';",
            ]
        )

    async def park(self, dead_letters: Iterable[DeadLetter]) -> None:
        """Park rows; for rows that are parked already, count one more attempt."""
        for dead_letter in dead_letters:
            await self._session.execute(
                "sync_park_dead_letter",
                **self._key,
                node_id=dead_letter.id,
                stage=dead_letter.stage,
                error=storable(dead_letter.error),
                changed=dead_letter.changed,
            )
            self._ids.add(dead_letter.id)

    async def clear(self, ids: Iterable[UUID]) -> None:
        """Remove these rows from the dead letters: they are synced, or gone."""
        if cleared := self._ids.intersection(ids):
            await self._session.execute("sync_clear_dead_letters", **self._key, ids=list(cleared))
            self._ids -= cleared
