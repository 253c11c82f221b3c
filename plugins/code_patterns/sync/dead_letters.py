"""Dead letters: rows that could not be synced on their own account, parked until they can."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from code_patterns.servers.locks import LockedSession
from code_patterns.sql import storable

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


class DeadLetters:
    """The table ``pattern_sync_dead_letters``, as far as it is about one collection.

    :param session: holds the locks of the run, unless this is a dry run
    :param collection: the real collection's name in Qdrant
    """

    def __init__(self, session: LockedSession, collection: str) -> None:
        self._session = session
        self._collection = collection
        self._ids: set[UUID] = set()

    @property
    def ids(self) -> frozenset[UUID]:
        """Rows that are parked now, as far as this run knows."""
        return frozenset(self._ids)

    async def read(self) -> None:
        """Learn which rows earlier runs have parked."""
        self._ids = {row[0] for row in await self._session.fetch("sync_dead_letter_ids", collection=self._collection)}

    async def park(self, dead_letters: Iterable[DeadLetter]) -> None:
        """Park rows, or count one more attempt of those that are parked."""
        for dead_letter in dead_letters:
            await self._session.execute(
                "sync_park_dead_letter",
                collection=self._collection,
                node_id=dead_letter.id,
                stage=dead_letter.stage,
                error=storable(dead_letter.error),
            )
            self._ids.add(dead_letter.id)

    async def clear(self, ids: Iterable[UUID]) -> None:
        """Forget those of these rows that are parked: they are in order again, or gone."""
        if cleared := self._ids.intersection(ids):
            await self._session.execute("sync_clear_dead_letters", collection=self._collection, ids=list(cleared))
            self._ids -= cleared

    async def forget(self) -> None:
        """Drop all of them: no run follows this collection any more."""
        await self._session.execute("sync_forget_dead_letters", collection=self._collection)
