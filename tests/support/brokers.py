"""Kafka for tests: a mock cluster of the client's own library, or the cluster that PATTERNS_TEST_KAFKA names.

A named cluster runs on this machine, with automatic creation of topics, and nothing is deleted there but by it.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from code_patterns.events.client import KafkaConfig
from code_patterns.events.connection import kafka_config
from code_patterns.events.topics import Events, Topics
from code_patterns.servers.connection_models import ConnectionFields
from tests.support.kafka_proxy import KafkaProxy, before


@dataclass
class Broker:
    """A cluster, and a topic and a group of one test's own."""

    servers: str
    addresses: list[tuple[str, int]]
    name: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")

    @property
    def topic(self) -> str:
        return f"{self.name}.pattern.created.v1"

    @property
    def indexed(self) -> str:
        return f"{self.name}.pattern.indexed.v1"

    @property
    def group(self) -> str:
        return f"{self.name}-group"

    def extra(self, **settings: Any) -> dict[str, Any]:
        """The extra of a connection; sessions end soon, because killed members are part of the tests."""
        quick = {"topic.metadata.refresh.interval.ms": 500, "reconnect.backoff.max.ms": 500, "session.timeout.ms": 6000}
        return {"bootstrap.servers": self.servers, "group.id": self.group, **quick, **settings}

    def config(self, **settings: Any) -> KafkaConfig:
        return kafka_config(ConnectionFields("patterns_kafka", extra=json.dumps(self.extra(**settings))))

    def both_ways(self, **settings: Any) -> Events:
        """Events in and out."""
        return Events(self.config(**settings), Topics(created=self.topic, indexed=self.indexed))

    def send(self, *values: Any, key: bytes | None = None, topic: str | None = None) -> None:
        """Put messages on the topic of created patterns: bytes as they are, anything else as JSON."""
        producer = Producer(
            {"bootstrap.servers": self.servers, "log_level": 0, "queue.buffering.max.messages": 2_000_000}
        )
        for value in values:
            data = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            producer.produce(topic or self.topic, data, key)
        assert producer.flush(60) == 0

    def received(self, topic: str, count: int, seconds: float = 60.0) -> list[Message]:
        """All messages of a topic; fails unless there are so many in time."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": self.name, "log_level": 0})
        try:
            until = time.monotonic() + seconds
            while True:
                # Without a group: joining one takes seconds.
                ends = {number: self._end(consumer, topic, number) for number in self._partitions(consumer, topic)}
                if sum(ends.values()) >= count:
                    break
                assert time.monotonic() < until, f"{sum(ends.values())} of {count} messages on {topic}"
                time.sleep(0.1)
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in ends])
            found: list[Message] = []
            while len(found) < sum(ends.values()):
                found += [message for message in consumer.consume(1_000, 0.1) if message.error() is None]
                assert time.monotonic() < until, f"{len(found)} of {ends} messages on {topic} could be read"
            return found
        finally:
            consumer.close()

    @staticmethod
    def _partitions(consumer: Consumer, topic: str) -> list[int]:
        return list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)

    @staticmethod
    def _end(consumer: Consumer, topic: str, number: int) -> int:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
        return end

    def events(self, count: int) -> list[dict[str, Any]]:
        """The first events about points, in the order of each key."""
        return [json.loads(message.value() or b"") for message in self.received(self.indexed, count)]

    def committed(self) -> int:
        """How many messages of the topic the group is done with."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": self.group, "log_level": 0})
        try:
            partitions = self._partitions(consumer, self.topic)
            offsets = consumer.committed([TopicPartition(self.topic, number) for number in partitions], timeout=30)
            return sum(max(one.offset, 0) for one in offsets)
        finally:
            consumer.close()

    @contextmanager
    def behind_a_proxy(self) -> Iterator[tuple["Broker", KafkaProxy]]:
        """The same cluster and names, by a way that can be cut."""
        with before(self.addresses) as proxy:
            yield Broker(proxy.servers, self.addresses, self.name), proxy


@contextmanager
def running() -> Iterator[Broker]:
    """A cluster: the named one, or a mock that lives as long as this."""
    servers = os.environ.get("PATTERNS_TEST_KAFKA", "")
    own = {"test.mock.num.brokers": 3} if not servers else {}
    client = Producer({"bootstrap.servers": servers or "mock:1", "log_level": 0, **own})
    addresses = [(broker.host, broker.port) for broker in client.list_topics(timeout=30).brokers.values()]
    yield Broker(servers or ",".join(f"{host}:{port}" for host, port in addresses), addresses)
    del client


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Wait for something that happens in the background."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.05)
