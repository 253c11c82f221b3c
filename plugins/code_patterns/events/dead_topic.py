"""Put unreadable messages on the topic of dead letters."""

import base64
import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from code_patterns.events.client import KafkaConfig, open_producer
from code_patterns.events.outage import Outage
from code_patterns.events.topics import DEAD_LETTER_SUFFIX

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger(__name__)

MOST_WAITING = 1_000
"""Unreadable messages that wait for their delivery at most; then no more events are read until some are delivered."""
LARGEST_BYTES = 1_000_000
"""Largest message by the defaults of client and broker."""

Partition = tuple[str, int]


@dataclass(frozen=True)
class _Letter:
    key: bytes | None
    value: bytes


class DeadTopic:
    """Delivers unreadable messages, and knows which are not delivered yet.

    :param config: the cluster
    :param topic: the topic that they came from
    :param group: the consumer group that read them
    :param outage: what is said about the cluster
    """

    def __init__(self, config: KafkaConfig, topic: str, group: str, outage: Outage) -> None:
        self._config = config
        self._topic = topic + DEAD_LETTER_SUFFIX
        self._group = group
        self._outage = outage
        self._producer: Producer | None = None
        self._waiting: dict[Partition, dict[int, _Letter]] = defaultdict(dict)
        self._again: list[tuple[Partition, int]] = []
        self._limit = int(config.settings.get("message.max.bytes", LARGEST_BYTES))

    @property
    def full(self) -> bool:
        """Whether no more may be given until some are delivered."""
        return sum(map(len, self._waiting.values())) >= MOST_WAITING

    def give(self, message: "Message", error: Exception) -> None:
        """Send a message; it waits until the cluster has it.

        :param error: why it cannot be read
        """
        partition, offset = _place(message)
        log.warning(
            "Event at offset %d of %s, partition %d, cannot be read: %s It goes to %s.",
            offset,
            partition[0],
            partition[1],
            error,
            self._topic,
        )
        key = _bytes(message.key())
        value = self._envelope(message, error, self._limit - 5_000 - len(key or b""))
        self._waiting[partition][offset] = _Letter(key, value)
        self._send(partition, offset)

    def serve(self) -> None:
        """Learn what was delivered, and send again what was not; it does not wait."""
        if self._producer:
            again, self._again = self._again, []
            for partition, offset in again:
                self._send(partition, offset)
            self._producer.poll(0)

    def first_waiting(self, partition: Partition) -> int | None:
        """The first offset of a partition that is not delivered."""
        return min(self._waiting[partition], default=None)

    def forget(self, partition: Partition) -> None:
        """Leave a partition to another consumer, who reads these messages too."""
        self._waiting.pop(partition, None)

    def close(self, seconds: float) -> None:
        """Wait a moment for what is on its way."""
        if self._producer:
            self._producer.flush(seconds)
            self._producer.purge()

    def _send(self, partition: Partition, offset: int) -> None:
        letter = self._waiting[partition].get(offset)
        if letter is None:
            return
        self._producer = self._producer or open_producer(self._config, self._outage.failed)
        try:
            self._producer.produce(
                self._topic, letter.value, letter.key, on_delivery=partial(self._delivered, partition, offset)
            )
        # A full queue is no error of the client, but of Python.
        except BufferError:
            self._again.append((partition, offset))

    def _delivered(self, partition: Partition, offset: int, error: "KafkaError | None", message: Any) -> None:
        if error is None:
            self._waiting[partition].pop(offset, None)
            return
        self._again.append((partition, offset))
        self._outage.refused(
            error, f"Unreadable events cannot be put on {self._topic}: let this user write there. They are kept."
        )

    def _envelope(self, message: "Message", error: Exception, room: int) -> bytes:
        (topic, partition), offset = _place(message)
        value = _bytes(message.value())
        fields: dict[str, Any] = {
            "original_topic": topic,
            "original_partition": partition,
            "original_offset": offset,
            "original_timestamp": _timestamp(message),
            **_readable(value),
            "error": str(error),
            "error_type": type(error).__name__,
            "error_timestamp": datetime.now(UTC).isoformat(),
            "consumer_group": self._group,
        }
        encoded = orjson.dumps(fields)
        if len(encoded) > room:
            # JSON needs up to six bytes for a character, and base64 four for three bytes.
            cut = fields["original_value"][: max(room - 2_000, 0) // 24 * 4]
            encoded = orjson.dumps({**fields, "original_value": cut, "original_value_truncated": True})
        return encoded


def _readable(value: bytes | None) -> dict[str, Any]:
    if value is None:
        return {"original_value": None}
    try:
        return {"original_value": value.decode()}
    except UnicodeDecodeError:
        return {"original_value": base64.b64encode(value).decode(), "original_value_encoding": "base64"}


def _timestamp(message: "Message") -> str | None:
    kind, milliseconds = message.timestamp()
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat() if kind else None
    except (OverflowError, ValueError, OSError):
        return None


def _place(message: "Message") -> tuple[Partition, int]:
    return (str(message.topic()), int(message.partition() or 0)), int(message.offset() or 0)


def _bytes(data: "bytes | str | None") -> bytes | None:
    return data.encode() if isinstance(data, str) else data
