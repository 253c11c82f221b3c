"""The outbox: events about points, kept in PostgreSQL from before the write until Kafka has them.

An event is noted before its point is written, and counts once the write is recorded. A run that is killed in between
leaves an intention. The next run compares that point with its row and finds out whether it was written.
"""

from collections import Counter
from collections.abc import Collection as Ids
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from code_patterns.servers.locks import LockedSession
from code_patterns.sync.collection import Collection
from code_patterns.sync.dead_letters import DeadLetter
from code_patterns.sync.diff import Action, Change

_TOLD = {
    Action.NEW: "upserted",
    Action.CHANGED: "upserted",
    Action.WORDS_ONLY: "payload_updated",
    Action.PAYLOAD_ONLY: "payload_updated",
    Action.DELETE: "deleted",
}
"""What an event calls each action that writes."""
AGREEING = frozenset({Action.UNCHANGED, Action.ABSENT})
"""Actions of a point that is as its row wants it."""


class Outbox:
    """The rows of one collection in ``pattern_sync_outbox``. It is there only while Kafka is to be told.

    :param session: holds the locks of the run
    :param collection: the collection
    """

    def __init__(self, session: LockedSession, collection: Collection) -> None:
        self._session = session
        self._key = {"collection": collection.physical, "target_identity": collection.identity}
        self._name = collection.name
        self._left: set[UUID] = set()
        self._in_flight: Counter[UUID] = Counter()
        self._shared: set[UUID] = set()
        """Points that several batches in flight write."""
        self.told = False
        """Whether this run has added events."""
        self.causes: Mapping[UUID | str, str] = {}
        """Correlation ids of the events that named rows, by id or pattern id."""

    async def read(self) -> None:
        """Read what an earlier run was about to write."""
        self._left = {node_id for (node_id,) in await self._session.fetch("outbox_intended", **self._key)}

    @property
    def left(self) -> frozenset[UUID]:
        """Points that an earlier run was about to write, as long as nobody has found out whether it did."""
        return frozenset(self._left)

    def concerns(self, ids: Iterable[UUID]) -> bool:
        """Whether some of these points have an intention."""
        return any(node_id in self._left or node_id in self._in_flight for node_id in ids)

    async def intend(self, changes: Sequence[Change]) -> None:
        """Note what is about to be written; it must be committed before the write begins."""
        # A row that changes twice within a batch has one point.
        latest = {change.id: change for change in changes if change.action in _TOLD}
        await self._note(list(latest.values()))
        self._left -= latest.keys()
        self._shared |= self._in_flight.keys() & latest.keys()
        self._in_flight.update(latest.keys())

    async def settle(self, done: Sequence[Change]) -> None:
        """Turn intentions about points that are done into events.

        Whatever was done this time: a run that finds nothing to do sees what a killed one has written. An intention
        that does not agree with what is there was never carried out, so it is dropped.
        """
        written = {change.id: change for change in done if change.action in _TOLD}
        found = {change.id: change for change in done if change.id in self._left}
        landed = {node_id: change for node_id, change in written.items() if self._landed(node_id)}
        if shared := self._shared & landed.keys():
            # Batches note their intentions in any order, but they are recorded in the order of the changes.
            await self._note([landed[node_id] for node_id in shared])
            self._shared -= shared
        if settled := {**found, **landed}:
            changes = settled.values()
            await self._session.execute(
                "outbox_settle",
                **self._key,
                node_ids=list(settled),
                present=[change.action not in (Action.DELETE, Action.ABSENT) for change in changes],
                content_hashes=[_content_hash(change) for change in changes],
            )
            self._left -= settled.keys()
            self.told = True

    async def _note(self, changes: Sequence[Change]) -> None:
        if changes:
            await self._session.execute(
                "outbox_intend",
                name=self._name,
                **self._key,
                **self._columns(changes),
                actions=[_TOLD[change.action] for change in changes],
                content_hashes=[_content_hash(change) for change in changes],
            )

    def _landed(self, node_id: UUID) -> bool:
        """Note that one write of a point is done; whether it was the last one in flight.

        Another batch may hold a later change of the same point, which is then told instead.
        """
        self._in_flight[node_id] -= 1
        if self._in_flight[node_id] > 0:
            return False
        del self._in_flight[node_id]
        return True

    async def park(self, dead_letters: Sequence[DeadLetter], known: Ids[UUID], changes: Iterable[Change]) -> None:
        """Add events about rows that became dead letters, and drop the intention to write them.

        :param known: rows that were parked before; one that did not change since is told no second time
        :param changes: the changes that the rows were part of
        """
        if not dead_letters:
            return
        # One that was refused before its write has no intention of this run.
        dropped = [letter.id for letter in dead_letters if letter.id not in self._in_flight or self._landed(letter.id)]
        await self._session.execute("outbox_drop", **self._key, node_ids=dropped)
        self._left.difference_update(dropped)
        told = {letter.id for letter in dead_letters if letter.changed or letter.id not in known}
        parked = list({change.id: change for change in changes if change.id in told}.values())
        if parked:
            await self._session.execute("outbox_park", name=self._name, **self._key, **self._columns(parked))
            self.told = True

    def _columns(self, changes: Sequence[Change]) -> dict[str, list[UUID] | list[str | None] | list[datetime | None]]:
        pattern_ids = [change.pattern.payload.get("pattern_id") if change.pattern else None for change in changes]
        return {
            "node_ids": [change.id for change in changes],
            "pattern_ids": pattern_ids,
            "committed_at": [change.changed_at for change in changes],
            "correlation_ids": [
                self.causes.get(change.id) or self.causes.get(pattern_id or "")
                for change, pattern_id in zip(changes, pattern_ids, strict=True)
            ],
        }


async def open_outbox(session: LockedSession, collection: Collection) -> Outbox:
    """Return the outbox of a collection, with what an earlier run left."""
    outbox = Outbox(session, collection)
    await outbox.read()
    return outbox


def _content_hash(change: Change) -> str | None:
    return change.pattern.content_hash if change.pattern else change.content_hash
