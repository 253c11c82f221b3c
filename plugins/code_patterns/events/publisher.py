"""Publish events, and say which arrived."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from code_patterns.events.client import KafkaConfig, discard, is_fatal, open_producer, reason

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

PATIENCE_SECONDS = 10.0
"""How long the events of one call may take; the rest is told as not arrived."""


@dataclass(frozen=True)
class OutgoingEvent:
    """One event.

    :param key: events with the same key stay in order
    :param value: JSON
    """

    key: bytes
    value: bytes


class EventPublisher:
    """Publishes events on one topic; it connects when it is used first.

    :param config: the cluster
    :param topic: where events go
    :param patience: seconds that one call may take
    """

    def __init__(self, config: KafkaConfig, topic: str, patience: float = PATIENCE_SECONDS) -> None:
        self._config = config
        self._topic = topic
        self._patience = patience
        self._reason = ""
        self._producer: Producer | None = None
        self._broken = False

    async def publish(self, events: Sequence[OutgoingEvent]) -> tuple[set[int], str]:
        """Publish events in their order.

        :return: positions of those that arrived, and why others did not; events with the same key that follow one which
            did not arrive are not counted, so that sending the rest again keeps their order
        """
        return await asyncio.to_thread(self._publish, events)

    def close(self) -> None:
        """Forget what is not sent yet: whoever gave it was told."""
        if self._producer:
            self._producer.purge()
            self._producer = None

    def _publish(self, events: Sequence[OutgoingEvent]) -> tuple[set[int], str]:
        from confluent_kafka import KafkaException

        arrived: set[int] = set()
        self._reason = ""
        deadline = time.monotonic() + self._patience
        try:
            producer = self._producer = self._producer or open_producer(self._config, self._failed)
        except KafkaException as error:
            return arrived, reason(self._config, error.args[0])
        try:
            for position, event in enumerate(events):
                if not self._produce(producer, event, partial(self._delivered, arrived, position), deadline):
                    break
            while len(producer) and not self._broken and time.monotonic() < deadline:
                producer.poll(0.1)
        except KafkaException as error:
            self._failed(error.args[0])
        if len(producer) or self._broken:
            # An event that is sent later, after all, would arrive behind its own repetition.
            discard(producer)
            self._producer, self._broken = None, False
        return _in_order(events, arrived), self._reason or f"no answer within {self._patience:.0f} s"

    def _produce(
        self, producer: "Producer", event: OutgoingEvent, on_delivery: Callable[..., None], deadline: float
    ) -> bool:
        from confluent_kafka import KafkaException

        while True:
            try:
                producer.produce(self._topic, event.value, event.key, on_delivery=on_delivery)
                return True
            except BufferError:
                # The client's queue is full.
                producer.poll(0.1)
                if time.monotonic() >= deadline:
                    return False
            except KafkaException as error:
                self._failed(error.args[0])
                return False

    def _delivered(self, arrived: set[int], position: int, error: "KafkaError | None", message: Any) -> None:
        from confluent_kafka import KafkaError

        if error is None:
            arrived.add(position)
        elif error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self._failed(error)

    def _failed(self, error: "KafkaError") -> None:
        self._broken = self._broken or is_fatal(error)
        if not self._reason or not error.name().startswith("_ALL"):
            self._reason = reason(self._config, error)


def _in_order(events: Sequence[OutgoingEvent], arrived: set[int]) -> set[int]:
    missing: set[bytes] = set()
    kept = set()
    for position, event in enumerate(events):
        if position not in arrived:
            missing.add(event.key)
        elif event.key not in missing:
            kept.add(position)
    return kept
