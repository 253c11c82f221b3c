"""Read which patterns are named by events. An event is one more reason to look, and never more than that.

Everything here returns at once and raises nothing when Kafka is away: who looks for rows must not wait for it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from code_patterns.events.client import KafkaConfig, open_consumer, reason
from code_patterns.events.dead_topic import DeadTopic
from code_patterns.events.letter import Partition
from code_patterns.events.mention import Mention, UnreadableEventError, read_mention
from code_patterns.events.outage import Outage

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

log = logging.getLogger(__name__)

MOST_MESSAGES = 10_000
"""Messages that one :meth:`EventConsumer.poll` takes at most."""
REBALANCE_SECONDS = 0.1
"""A rebalance that is on its way inside the client is there within this time."""
CLOSING_SECONDS = 3.0
"""The client's own way to close has no limit: with a commit on its way to a broker that is away it never ends."""


class EventConsumer:
    """A member of a consumer group that reads events.

    Offsets are committed by :meth:`commit`, so that an event whose row nobody has looked at comes again. Use it from
    one thread.

    :param config: the cluster
    :param topic: where events are
    :param group: the consumer group
    """

    def __init__(self, config: KafkaConfig, topic: str, group: str) -> None:
        self._config = config
        self._outage = Outage(config)
        self._dead = DeadTopic(config, topic, group, self._outage)
        self._read: dict[Partition, int] = {}
        """The offset after the last message that was given out, by partition."""
        self._done: dict[Partition, int] = {}
        """The same for messages that are done."""
        self._committed: dict[Partition, int] = {}
        self._committing = False
        self._paused = False
        self._consumer: Consumer = open_consumer(
            config, group, self._outage.failed, stats_cb=self._outage.seen, on_commit=self._on_commit
        )
        self._consumer.subscribe([topic], on_revoke=self._on_revoke, on_lost=self._on_revoke)

    def poll(self) -> list[Mention]:
        """Return what new events name, each pattern once; it does not wait."""
        from confluent_kafka import KafkaException

        self._dead.serve()
        self._send_offsets()
        try:
            self._hold_back()
            messages = self._consumer.consume(MOST_MESSAGES, 0)
        except KafkaException as error:
            self._outage.refused(error.args[0], "Rows are found without events.")
            return []
        found: dict[Mention, None] = {}
        for message in messages:
            if (failure := message.error()) is not None:
                self._tell(failure)
            elif mention := self._mention(message):
                found.setdefault(mention)
        return list(found)

    def commit(self) -> None:
        """Note that everything which was given out is done; it does not wait.

        An offset stays behind messages that are not on the topic of dead letters yet.
        """
        self._done = dict(self._read)
        self._send_offsets()

    def close(self) -> None:
        """Leave the group; wait a few seconds at most for what :meth:`commit` noted."""
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + CLOSING_SECONDS
        self._dead.close(CLOSING_SECONDS / 2)
        self._send_offsets()
        with suppress(KafkaException):
            self._consumer.pause(self._consumer.assignment())
            while self._committing and time.monotonic() < deadline:
                # What it returns is not done, so it comes again.
                self._consumer.poll(0.05)
        # The rest of a rebalance comes here, not while the client closes: there the client's answer to it was once seen
        # to wait for ever, with the interpreter's lock, so that nothing of the process went on.
        with suppress(KafkaException):
            self._consumer.unsubscribe()
            self._consumer.poll(REBALANCE_SECONDS)
        closing = threading.Thread(target=self._consumer.close, name="leaving Kafka", daemon=True)
        closing.start()
        closing.join(max(deadline - time.monotonic(), 0.5))

    def _send_offsets(self) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        due = self._due()
        if due and not self._committing:
            offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in due.items()]
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
                self._committing = True
            except KafkaException as error:
                log.debug("Offsets cannot be committed now: %s", reason(self._config, error.args[0]))

    def _hold_back(self) -> None:
        """Read nothing more while unreadable messages cannot be delivered.

        The client is asked for messages all the same: the group must see that this member lives.
        """
        if self._dead.full:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        elif self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False

    def _mention(self, message: "Message") -> Mention | None:
        topic, number, offset = message.topic(), message.partition(), message.offset()
        if topic is None or number is None or offset is None:
            return None
        value, key = (data.encode() if isinstance(data, str) else data for data in (message.value(), message.key()))
        self._read[topic, number] = offset + 1
        try:
            return read_mention(value, key, topic)
        except UnreadableEventError as error:
            self._dead.give(message, error)
            return None

    def _due(self) -> dict[Partition, int]:
        """The offsets that are to be committed."""
        due = {}
        for partition, done in self._done.items():
            waiting = self._dead.first_waiting(partition)
            reached = done if waiting is None else min(done, waiting)
            if reached != self._committed.get(partition):
                due[partition] = reached
        return due

    def _on_commit(self, error: "KafkaError | None", offsets: "Sequence[TopicPartition]") -> None:
        self._committing = False
        if error is None:
            self._committed |= {(one.topic, one.partition): one.offset for one in offsets if one.error is None}

    def _on_revoke(self, consumer: "Consumer", revoked: "Sequence[TopicPartition]") -> None:
        """Another member gets these partitions, and every message of theirs that was not committed."""
        for one in revoked:
            partition = one.topic, one.partition
            for offsets in (self._read, self._done, self._committed):
                offsets.pop(partition, None)
            self._dead.forget(partition)

    def _tell(self, error: "KafkaError") -> None:
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            # A long drain; what was not committed comes again.
            log.info("Kafka gave the events of this run to others while it was busy; it joins again.")
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._outage.refused(error, "Events are read as soon as the topic exists.")
        else:
            self._outage.refused(error, "Rows are found without events. Let this user read the topic and the group.")
