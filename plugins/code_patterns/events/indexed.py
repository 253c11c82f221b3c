"""The event that says what was done with a point."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from code_patterns.events.publisher import OutgoingEvent

EVENT_TYPE = "pattern_indexed"


@dataclass(frozen=True)
class IndexedEvent:
    """What was done with one point.

    :param id: its place in the outbox
    :param name: the collection as readers name it
    :param collection: the real collection
    :param node_id: id of the point and of its row
    :param pattern_id: the row's text column, where known
    :param action: ``upserted``, ``payload_updated``, ``deleted`` or ``parked``
    :param content_hash: hash of the written payload
    :param committed_at: when the row was changed, where known
    :param indexed_at: when the write was recorded
    :param correlation_id: cause of the change
    """

    id: int
    name: str
    collection: str
    node_id: UUID
    pattern_id: str | None
    action: str
    content_hash: str | None
    committed_at: datetime | None
    indexed_at: datetime
    correlation_id: str | None

    def encoded(self) -> OutgoingEvent:
        """The message; its key is the node id, so that events about one point stay in order."""
        payload: dict[str, Any] = {
            "pattern_id": self.pattern_id,
            "node_id": str(self.node_id),
            "action": self.action,
            "collection": self.name,
            "physical_collection": self.collection,
            "content_hash": self.content_hash,
            "committed_at": _utc(self.committed_at),
            "indexed_at": _utc(self.indexed_at),
            "correlation_id": self.correlation_id,
        }
        # The place alone is no identity: a restored database gives places again that Kafka has seen.
        moment = round(self.indexed_at.timestamp() * 1_000_000)
        event = {
            "event_type": EVENT_TYPE,
            "event_id": f"{self.collection}:{self.id}:{moment}",
            "correlation_id": self.correlation_id,
            "timestamp": payload["indexed_at"],
            "source": "code-patterns",
            "payload": payload,
        }
        return OutgoingEvent(str(self.node_id).encode(), orjson.dumps(event))


def _utc(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
