"""Dead letters: rows that could not be synced on their own account, parked until they can."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from code_patterns.servers.locks import LockedSession
from code_patterns.sql import storable
from code_patterns.sync.collection import Collection

Stage = Literal["read", "embed", "write"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row that could not be synced.

    :param id: the row's id
    :param stage: where its way ended
    :param error: why, in words
    :param changed: whether the row has changed since it was tried last, so that its attempts start anew
    """

    id: UUID
    stage: Stage
    error: str
    changed: bool = False


class DeadLetters:
    """The table ``pattern_sync_dead_letters``, as far as it is about one collection.

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
        """Rows that are parked now, as far as this run knows."""
        return frozenset(self._ids)

    @property
    def due(self) -> frozenset[UUID]:
        """Those that had waited long enough when the run began: each failure doubles the wait, up to a week."""
        return self._due

    async def read(self) -> None:
        """Learn which rows earlier runs have parked."""
        rows = await self._session.fetch("sync_dead_letter_ids", **self._key)
        self._ids = {node_id for node_id, _ in rows}
        self._due = frozenset(node_id for node_id, due in rows if due)

    async def park(self, dead_letters: Iterable[DeadLetter]) -> None:
        """Park rows, or count one more attempt of those that are parked."""
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
        """Forget those of these rows that are parked: they are in order again, or gone."""
        if cleared := self._ids.intersection(ids):
            await self._session.execute("sync_clear_dead_letters", **self._key, ids=list(cleared))
            self._ids -= cleared
