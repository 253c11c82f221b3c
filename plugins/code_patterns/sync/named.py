"""The rows that events have named, and that nobody has looked at since."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from code_patterns.events.consumer import EventConsumer
from code_patterns.events.mention import Mention
from code_patterns.events.topics import Events
from code_patterns.servers.locks import LockedSession

MOST_CAUSES = 10_000
"""Most correlation ids that wait for their row; an event may come before the row can be seen."""


class NamedRows:
    """What events have named until now.

    :param consumer: reads events; ``None`` without Kafka
    """

    def __init__(self, consumer: EventConsumer | None = None) -> None:
        self.causes: dict[UUID | str, str] = {}
        """Correlation ids, by row, or by pattern id where no row has it yet."""
        self._consumer = consumer
        self._mentions: list[Mention] = []
        self._waiting: set[UUID] = set()

    @property
    def waiting(self) -> frozenset[UUID]:
        """Rows that are to be looked at."""
        return frozenset(self._waiting)

    async def listen(self, session: LockedSession) -> bool:
        """Take new events; return whether a row is to be looked at.

        A row may not be visible yet: then it is found as any change is.
        """
        if self._consumer:
            # Kept until they are looked up: the database may be away just now.
            self._mentions += self._consumer.poll()
        mentions = self._mentions
        pattern_ids = list({mention.pattern_id for mention in mentions if mention.pattern_id})
        rows: dict[str, list[UUID]] = {}
        if pattern_ids:
            for node_id, pattern_id in await session.fetch("sync_ids_of_patterns", pattern_ids=pattern_ids):
                rows.setdefault(pattern_id, []).append(node_id)
        for mention in mentions:
            named = rows.get(mention.pattern_id or "", []) + ([mention.node_id] if mention.node_id else [])
            self._waiting.update(named)
            if mention.correlation_id:
                keys: list[UUID | str] = [*named] or [mention.pattern_id or ""]
                self.causes.update(dict.fromkeys(keys, mention.correlation_id))
        self._mentions = []
        while len(self.causes) > MOST_CAUSES:
            self.causes.pop(next(iter(self.causes)))
        if not self._waiting:
            self.done(frozenset())
        return bool(self._waiting)

    def done(self, rows: frozenset[UUID]) -> None:
        """Note that these rows were looked at; once all were, their events count as done."""
        self._waiting -= rows
        for row in rows:
            self.causes.pop(row, None)
        if self._consumer and not self._waiting and not self._mentions:
            self._consumer.commit()


@contextmanager
def named_rows(events: Events | None, collection: str) -> Iterator[NamedRows]:
    """Read events as long as a stream is up.

    :param collection: the collection, as users write it
    """
    if events is None or not events.topics.created:
        yield NamedRows()
        return
    consumer = EventConsumer(events.kafka, events.topics.created, events.kafka.group(collection))
    try:
        yield NamedRows(consumer)
    finally:
        consumer.close()
