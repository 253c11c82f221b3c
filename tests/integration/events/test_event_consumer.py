"""The consumer of events: nothing is lost, nothing blocks, and what cannot be read is put aside."""

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from code_patterns.codes import Code
from code_patterns.events import dead_topic
from code_patterns.events.consumer import EventConsumer
from code_patterns.events.mention import Mention
from tests.support.brokers import Broker, wait_until


@contextmanager
def reading(broker: Broker, **settings: Any) -> Iterator[EventConsumer]:
    with closing(EventConsumer(broker.config(**settings), broker.topic, broker.group)) as consumer:
        yield consumer


def named(consumer: EventConsumer, count: int) -> set[str | None]:
    """Poll as the stream does until events have named so many patterns."""
    found: set[str | None] = set()

    def enough() -> bool:
        found.update(mention.pattern_id for mention in consumer.poll())
        return len(found) >= count

    wait_until(enough, f"reading {count} events")
    return found


def idle(consumer: EventConsumer, until: Callable[[], bool], what: str) -> None:
    """Poll while nothing new comes."""

    def done() -> bool:
        assert consumer.poll() == []
        consumer.commit()
        return until()

    wait_until(done, what)


def test_events_name_patterns_once_for_each_poll(broker: Broker) -> None:
    node = uuid.uuid4()
    broker.send(*[{"payload": {"pattern_id": f"p{index % 3}"}} for index in range(30)], {"node_id": str(node)})
    with reading(broker) as consumer:
        given: list[Mention] = []

        def enough() -> bool:
            new = consumer.poll()
            assert len(set(new)) == len(new)
            given.extend(new)
            return {mention.pattern_id for mention in given} >= {"p0", "p1", "p2", None}

        wait_until(enough, "reading events")
        assert Mention(node, None) in given


def test_offsets_are_committed_only_for_what_was_done(broker: Broker) -> None:
    broker.send({"pattern_id": "first"})
    with reading(broker) as consumer:
        assert named(consumer, 1) == {"first"}
        consumer.commit()
        idle(consumer, lambda: broker.committed() == 1, "the commit")
        broker.send({"pattern_id": "second"})
        assert named(consumer, 1) == {"second"}
        # No commit: its rows were not looked at yet. Whatever the client does by itself leaves the offset alone.
        for _ in range(20):
            assert consumer.poll() == []
        assert broker.committed() == 1


def test_an_event_whose_rows_nobody_has_looked_at_comes_again(broker: Broker) -> None:
    broker.send({"pattern_id": "done"}, {"pattern_id": "lost"})
    consumer = EventConsumer(broker.config(), broker.topic, broker.group)
    assert named(consumer, 2) == {"done", "lost"}
    # As after a kill: the member leaves without commit.
    consumer._consumer.close()
    with reading(broker) as other:
        assert named(other, 2) == {"done", "lost"}


def test_closing_commits_what_is_done(broker: Broker) -> None:
    broker.send(*[{"pattern_id": f"p{index}"} for index in range(50)])
    with reading(broker) as consumer:
        named(consumer, 50)
        consumer.commit()
    assert broker.committed() == 50


@pytest.mark.remedy(Code.EVENT_UNREADABLE)
def test_an_unreadable_message_is_on_the_dead_letter_topic_before_its_offset_is_done(broker: Broker) -> None:
    broker.send(b"not json", key=b"the-key")
    broker.send(b"\xff\xfe\x00", key=None)
    broker.send(None, key=b"empty")
    broker.send({"pattern_id": "good"})
    with reading(broker) as consumer:
        assert named(consumer, 1) == {"good"}
        idle(consumer, lambda: broker.committed() == 4, "the commit")
        # The producer is corrected.
        broker.send({"pattern_id": "was not json"})
        assert named(consumer, 1) == {"was not json"}
    letters = {
        message.key(): json.loads(message.value() or b"") for message in broker.received(f"{broker.topic}.dlq", 3)
    }
    assert set(letters) == {b"the-key", None, b"empty"}
    for letter in letters.values():
        assert letter["original_topic"] == broker.topic
        assert letter["error_type"] == "UnreadableEventError"
        assert letter["consumer_group"] == broker.group
        assert letter["original_partition"] in range(8)
        assert letter["original_offset"] in range(4)
        assert letter["original_timestamp"] < letter["error_timestamp"]
        assert letter["original_timestamp"].endswith("+00:00")
    assert letters[b"the-key"]["original_value"] == "not json"
    assert "not JSON" in letters[b"the-key"]["error"]
    assert str(Code.EVENT_UNREADABLE) in letters[b"the-key"]["error"]
    assert letters[b"empty"]["original_value"] is None
    assert (letters[None]["original_value"], letters[None]["original_value_encoding"]) == ("//4A", "base64")


def test_a_large_unreadable_message_is_cut_to_fit(broker: Broker) -> None:
    broker.send(b"\x01" * 900_000, key=b"k")
    with reading(broker) as consumer:
        idle(consumer, lambda: broker.committed() == 1, "the commit")
    (letter,) = (json.loads(message.value() or b"") for message in broker.received(f"{broker.topic}.dlq", 1))
    assert letter["original_value_truncated"] is True
    assert letter["original_value"].startswith("\x01" * 100_000)


def test_an_unreadable_message_with_a_key_as_large_as_a_message_goes_there_without_it(broker: Broker) -> None:
    broker.send(b"junk", key=b"k" * 999_900)
    with reading(broker) as consumer:
        idle(consumer, lambda: broker.committed() == 1, "the commit")
    (message,) = broker.received(f"{broker.topic}.dlq", 1)
    letter = json.loads(message.value() or b"")
    assert message.key() is None
    assert letter["original_key_left_out"] is True
    assert letter["original_value"] == "junk"


def test_no_more_is_read_while_unreadable_messages_cannot_be_delivered(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_topic, "MOST_WAITING", 10)
    monkeypatch.setattr("code_patterns.events.consumer.MOST_MESSAGES", 5)
    with broker.behind_a_proxy() as (away, proxy), reading(broker) as consumer:
        proxy.cut()
        consumer._dead._config = away.config()
        broker.send(*[b"junk"] * 40)
        wait_until(lambda: consumer.poll() == [] and consumer._dead.full, "the limit")
        for _ in range(20):
            assert consumer.poll() == []
            consumer.commit()
            time.sleep(0.02)
        assert broker.committed() == 0
        proxy.restore()
        idle(consumer, lambda: broker.committed() == 40, "the commit")
    assert len(broker.received(f"{broker.topic}.dlq", 40)) >= 40


def test_a_rebalance_loses_nothing(broker: Broker) -> None:
    done: set[str | None] = set()
    with reading(broker) as first:
        broker.send(*[{"pattern_id": f"a{index}"} for index in range(20)])
        done |= named(first, 20)
        first.commit()
        # Not committed when the second member comes.
        broker.send(*[{"pattern_id": f"b{index}"} for index in range(20)])
        wait_until(lambda: first.poll() != [], "reading")
        with reading(broker) as second:
            broker.send(*[{"pattern_id": f"c{index}"} for index in range(20)])

            def all_read() -> bool:
                for member in (first, second):
                    done.update(mention.pattern_id for mention in member.poll())
                    member.commit()
                return done >= {f"{letter}{index}" for letter in "ac" for index in range(20)}

            wait_until(all_read, "reading after the rebalance")
            wait_until(lambda: bool(all_read() and second._consumer.assignment()), "the share of the second")
    with reading(broker) as third:
        broker.send({"pattern_id": "last"})
        wait_until(lambda: Mention(None, "last") in third.poll(), "reading the last event")


@pytest.mark.remedy(Code.KAFKA_AWAY, elsewhere=True)
def test_a_broker_that_is_down_at_the_start_is_told_once_and_its_return_once(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with broker.behind_a_proxy() as (away, proxy):
        proxy.cut()
        broker.send({"pattern_id": "meanwhile"})
        with reading(away) as consumer:
            idle(consumer, lambda: "is away" in caplog.text, "the notice")
            for _ in range(40):
                assert consumer.poll() == []
                consumer.commit()
                time.sleep(0.05)
            proxy.restore()
            assert named(consumer, 1) == {"meanwhile"}
            idle(consumer, lambda: "is back" in caplog.text, "the return")
    told = [record.getMessage() for record in caplog.records if record.name.startswith("code_patterns.events")]
    assert [text.split(": ")[0].rpartition(" ")[2] for text in told] == ["away", "back."]
    assert "connection 'patterns_kafka'" in told[0]
    assert told[0].endswith(f"[{Code.KAFKA_AWAY}]")


def test_a_broker_that_goes_in_the_middle_costs_nothing_and_loses_nothing(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with broker.behind_a_proxy() as (away, proxy), reading(away) as consumer:
        broker.send({"pattern_id": "before"})
        assert named(consumer, 1) == {"before"}
        proxy.cut()
        consumer.commit()
        broker.send({"pattern_id": "meanwhile"})
        idle(consumer, lambda: "is away" in caplog.text, "the notice")
        proxy.restore()
        found = named(consumer, 1)
        assert "meanwhile" in found
        consumer.commit()

        def both() -> bool:
            consumer.poll()
            consumer.commit()
            return broker.committed() == 2

        wait_until(both, "the commit")
    assert caplog.text.count("is away") == 1


def test_closing_beside_a_broker_that_is_down_ends(broker: Broker) -> None:
    with broker.behind_a_proxy() as (away, proxy):
        consumer = EventConsumer(away.config(), broker.topic, broker.group)
        broker.send({"pattern_id": "x"})
        named(consumer, 1)
        proxy.cut()
        consumer.commit()
        # The client's own way to close would wait for this commit for ever.
        consumer.close()


def test_a_million_old_events_end_soon(broker: Broker) -> None:
    count = 20_000
    broker.send(*[{"pattern_id": f"p{index % 500}", "payload": {}} for index in range(count)])
    with reading(broker) as consumer:
        named(consumer, 500)

        def all_done() -> bool:
            consumer.poll()
            consumer.commit()
            return broker.committed() == count

        wait_until(all_done, "reading everything")
