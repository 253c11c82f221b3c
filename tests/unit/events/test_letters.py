"""What is told of an unreadable message fits into a message, and whatever the client refuses is sent again."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from code_patterns.events import dead_topic
from code_patterns.events.client import KafkaConfig
from code_patterns.events.dead_topic import DeadTopic
from code_patterns.events.letter import letter_of
from code_patterns.events.mention import UnreadableEventError
from code_patterns.events.outage import Outage

WHY = UnreadableEventError("The value is not JSON.")
CUT, LEFT_OUT = "original_value_truncated", "original_key_left_out"


def unreadable(value: bytes | None = b"junk", key: bytes | None = b"key") -> Message:
    return Message(topic="events", partition=3, offset=7, key=key, value=value, timestamp=(1, 1_000))


@pytest.mark.parametrize(
    ("value", "key", "marks"),
    [
        (b"junk", b"key", set()),
        (b"\x01" * 20_000, b"key", {CUT}),
        (b"\xff" * 20_000, b"key", {CUT}),
        ("ä€😀".encode() * 9_000, b"key", {CUT}),
        (b"\xff" * 20_000, b"k" * 8_000, {CUT}),
        (b"junk", b"k" * 20_000, {LEFT_OUT}),
        (None, b"k" * 20_000, {LEFT_OUT}),
        (b"\xff" * 20_000, b"k" * 20_000, {CUT, LEFT_OUT}),
    ],
)
def test_a_letter_fits_and_says_what_is_missing(value: bytes | None, key: bytes, marks: set[str]) -> None:
    told, told_key = letter_of(unreadable(value, key), WHY, "group", 10_000).encoded()
    fields = json.loads(told)
    assert len(told) + len(told_key or b"") <= 10_000
    assert {CUT, LEFT_OUT} & fields.keys() == marks
    assert told_key == (None if LEFT_OUT in marks else key)
    assert (fields["original_topic"], fields["original_partition"], fields["original_offset"]) == ("events", 3, 7)
    assert (fields["original_value"] is None) == (value is None)


class Refusing:
    """A producer that refuses what it is told to; its broker takes messages up to a size."""

    def __init__(self, refusals: list[int], most: int) -> None:
        self.refusals, self.most = refusals, most
        self.taken: list[tuple[bytes, bytes | None]] = []
        self._reports: list[Callable[[], None]] = []

    def produce(self, topic: str, value: bytes, key: bytes | None, on_delivery: Callable[..., None]) -> None:
        if self.refusals:
            raise KafkaException(KafkaError(self.refusals.pop(0)))
        if len(value) + len(key or b"") > self.most:
            self._reports.append(lambda: on_delivery(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None))
        else:
            self.taken.append((value, key))
            self._reports.append(lambda: on_delivery(None, None))

    def poll(self, seconds: float) -> None:
        reports, self._reports = self._reports, []
        for report in reports:
            report()


def delivered(monkeypatch: pytest.MonkeyPatch, producer: Refusing, message: Message, **settings: Any) -> bool:
    """Give a message, and serve a few times; return whether its offset counts as done."""
    config = KafkaConfig("patterns_kafka", "broker:9092", settings)
    monkeypatch.setattr(dead_topic, "open_producer", lambda *_: producer)
    dead = DeadTopic(config, "events", "group", Outage(config))
    dead.give(message, WHY)
    for _ in range(20):
        dead.serve()
    return dead.first_waiting(("events", 3)) is None


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._UNKNOWN_TOPIC])
def test_what_the_client_refuses_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    producer = Refusing([code, code], 1_000_000)
    assert delivered(monkeypatch, producer, unreadable())
    assert len(producer.taken) == 1
    assert caplog.text.count("They are kept.") == 1


def test_what_is_too_large_for_the_topic_becomes_smaller(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Refusing([KafkaError.MSG_SIZE_TOO_LARGE], 20_000)
    assert delivered(monkeypatch, producer, unreadable(b"\xff" * 400_000, b"k" * 100_000))
    [(value, key)] = producer.taken
    assert key is None
    assert json.loads(value)[LEFT_OUT] is json.loads(value)[CUT] is True
    assert "They are kept." not in caplog.text


def test_what_never_fits_is_kept_and_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert not delivered(monkeypatch, Refusing([], 100), unreadable(b"\xff" * 400_000))
    assert caplog.text.count("They are kept.") == 1


@pytest.mark.parametrize("limit", [1_000, "0x2000", 9000.5])
def test_any_limit_that_the_client_takes_will_do(monkeypatch: pytest.MonkeyPatch, limit: Any) -> None:
    assert delivered(monkeypatch, Refusing([], 900), unreadable(), **{"message.max.bytes": limit})
