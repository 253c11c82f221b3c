"""Put unreadable messages on the topic of dead letters."""

import logging
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from code_patterns.events.client import KafkaConfig, discard, is_fatal, open_producer
from code_patterns.events.letter import Letter, Partition, letter_of, place_of
from code_patterns.events.outage import Outage
from code_patterns.events.topics import DEAD_LETTER_SUFFIX

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger(__name__)

MOST_WAITING = 1_000
"""Unreadable messages that wait for their delivery at most; then no more events are read until some are delivered."""
LARGEST_BYTES = 1_000_000
"""Largest message by the defaults of client and broker."""
OVERHEAD_BYTES = 5_000
"""What client and broker add to key and value, and more."""


class DeadTopic:
    """Delivers unreadable messages, and knows which are not delivered yet.

    Nothing that Kafka's client raises leaves it: a message that was not delivered is sent again.

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
        self._broken = False
        self._waiting: dict[Partition, dict[int, Letter]] = defaultdict(dict)
        self._again: list[tuple[Partition, int]] = []
        limit = _largest(config)
        self._room = limit - min(OVERHEAD_BYTES, limit // 10)

    @property
    def full(self) -> bool:
        """Whether no more may be given until some are delivered."""
        return sum(map(len, self._waiting.values())) >= MOST_WAITING

    def give(self, message: "Message", error: Exception) -> None:
        """Send a message; it waits until the cluster has it.

        :param error: why it cannot be read
        """
        partition, offset = place_of(message)
        log.warning(
            "Event at offset %d of %s, partition %d, cannot be read: %s It goes to %s.",
            offset,
            partition[0],
            partition[1],
            error,
            self._topic,
        )
        self._waiting[partition][offset] = letter_of(message, error, self._group, self._room)
        self._send(partition, offset)

    def serve(self) -> None:
        """Learn what was delivered, and send again what was not; it does not wait."""
        from confluent_kafka import KafkaException

        if self._broken:
            self._renew()
        again, self._again = self._again, []
        for partition, offset in again:
            self._send(partition, offset)
        if self._producer:
            try:
                self._producer.poll(0)
            except KafkaException as error:
                self._tell(error.args[0])

    def first_waiting(self, partition: Partition) -> int | None:
        """The first offset of a partition that is not delivered."""
        return min(self._waiting[partition], default=None)

    def forget(self, partition: Partition) -> None:
        """Leave a partition to another consumer, who reads these messages too."""
        self._waiting.pop(partition, None)

    def close(self, seconds: float) -> None:
        """Wait a moment for what is on its way."""
        from confluent_kafka import KafkaException

        if self._producer:
            with suppress(KafkaException):
                self._producer.flush(seconds)
            self._producer.purge()

    def _send(self, partition: Partition, offset: int) -> None:
        from confluent_kafka import KafkaException

        letter = self._waiting[partition].get(offset)
        if letter is None:
            return
        value, key = letter.encoded()
        try:
            self._producer = self._producer or open_producer(self._config, self._outage.failed)
            self._producer.produce(self._topic, value, key, on_delivery=partial(self._delivered, partition, offset))
        # A full queue is no error of the client, but of Python.
        except BufferError:
            self._again.append((partition, offset))
        except KafkaException as error:
            self._failed(partition, offset, error.args[0])

    def _delivered(self, partition: Partition, offset: int, error: "KafkaError | None", message: Any) -> None:
        if error is None:
            self._waiting[partition].pop(offset, None)
        else:
            self._failed(partition, offset, error)

    def _failed(self, partition: Partition, offset: int, error: "KafkaError") -> None:
        from confluent_kafka import KafkaError

        self._again.append((partition, offset))
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            # The broker, or this one topic, may take less than the client does.
            letter = self._waiting[partition].get(offset)
            if letter is None:
                return
            if smaller := letter.smaller():
                self._waiting[partition][offset] = smaller
                return
        if error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self._tell(error)

    def _tell(self, error: "KafkaError") -> None:
        self._broken = self._broken or is_fatal(error)
        self._outage.refused(
            error, f"Unreadable events cannot be put on {self._topic}: let this user write there. They are kept."
        )

    def _renew(self) -> None:
        """Send everything again by another producer: one with a fatal error sends nothing any more."""
        if self._producer:
            discard(self._producer)
        self._producer, self._broken = None, False
        self._again = [(partition, offset) for partition, some in self._waiting.items() for offset in some]


def _largest(config: KafkaConfig) -> int:
    # The client reads numbers in more ways than Python does.
    with suppress(ValueError):
        return int(config.settings.get("message.max.bytes", LARGEST_BYTES))
    return LARGEST_BYTES
