"""A fatal error of a producer costs that producer, and nothing else."""

import asyncio
from contextlib import closing

import pytest

from code_patterns.events.publisher import EventPublisher, OutgoingEvent
from tests.integration.events.test_event_consumer import idle, reading
from tests.support.brokers import Broker, wait_until
from tests.support.fatal_error import make_fatal
from tests.support.running_stream import eventually, running_stream
from tests.support.two_sides import TwoSides, rows


@pytest.mark.parametrize("told_already", [False, True], ids=["found while it publishes", "found before"])
def test_events_are_published_by_another_producer(broker: Broker, told_already: bool) -> None:
    with closing(EventPublisher(broker.config(), broker.indexed)) as publisher:
        first, second, third = (OutgoingEvent(b"key", f"{number}".encode()) for number in range(3))
        assert asyncio.run(publisher.publish([first])) == ({0}, f"no answer within {10} s")
        broken = publisher._producer
        assert broken
        make_fatal(broken)
        if told_already:
            with pytest.raises(Exception, match="made for a test"):
                broken.poll(1)
        arrived, reason = asyncio.run(publisher.publish([second]))
        assert not arrived
        assert "fatal" in reason.lower() or "made for a test" in reason
        assert asyncio.run(publisher.publish([second, third]))[0] == {0, 1}
    assert [message.value() for message in broker.received(broker.indexed, 3)] == [b"0", b"1", b"2"]


def test_unreadable_events_are_sent_again_by_another_producer(broker: Broker) -> None:
    broker.send(b"junk")
    with reading(broker) as consumer:
        idle(consumer, lambda: broker.committed() == 1, "the commit")
        broken = consumer._dead._producer
        assert broken
        make_fatal(broken)
        broker.send(b"junk", b"more junk")
        idle(consumer, lambda: broker.committed() == 3, "the commit behind the error")
        make_fatal(consumer._dead._producer or broken)
    assert len(broker.received(f"{broker.topic}.dlq", 3)) == 3


def test_a_consumer_closes_after_a_fatal_error(broker: Broker) -> None:
    broker.send(b"{}")
    with reading(broker) as consumer:
        wait_until(lambda: consumer.poll() == [] and consumer._consumer.assignment(), "the assignment")
        make_fatal(consumer._consumer)
        for _ in range(5):
            assert consumer.poll() == []
            consumer.commit()


def test_a_stream_outlives_it(told: TwoSides, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("code_patterns.sync.relay.AGAIN_SECONDS", 0.1)
    made: list[EventPublisher] = []

    class Noted(EventPublisher):
        def _publish(self, events: object) -> tuple[set[int], str]:
            made.append(self)
            return super()._publish(events)  # type: ignore[arg-type]

    monkeypatch.setattr("code_patterns.sync.relay.EventPublisher", Noted)
    told.insert(rows(1))
    told.sync("full")
    with running_stream(told) as up:
        told.insert(rows(1, 10))
        eventually(lambda: len(broker.received(broker.indexed, 2)) == 2)
        broken = made[-1]._producer
        assert broken
        make_fatal(broken)
        told.insert(rows(1, 20))
        eventually(lambda: len(broker.received(broker.indexed, 3)) == 3)
        assert up.is_up
