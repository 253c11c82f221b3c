"""What is read out of an event, in every form that neighbouring topics use."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from code_patterns.events.mention import Mention, UnreadableEventError, read_mention

TOPIC = "dev.archon-intelligence.pattern.created.v1"
NODE = uuid.UUID("0189a1b2-0000-4000-8000-000000000001")
HEX = "9f86d081884c7d65"


def read(event: Any, key: bytes | None = None, topic: str = TOPIC) -> Mention | None:
    return read_mention(json.dumps(event).encode(), key, topic)


CREATED = (
    "pattern_created",
    "pattern.created",
    "PATTERN_CREATED",
    "CREATED",
    "created",
    "PatternCreated",
    "dev.archon-intelligence.pattern.created.v1",
    "omninode.intelligence.event.pattern_created.v1",
    "archon.intelligence.CREATED",
)
OTHER = (
    "pattern_deleted",
    "PATTERN_INDEXED",
    "pattern.uncreated",
    "tool_call",
    "dev.archon-intelligence.pattern.indexed.v1",
)
PLACES = {
    "top level": lambda name: {"event_type": name, "payload": {"pattern_id": HEX}},
    "metadata": lambda name: {"metadata": {"event_type": name}, "payload": {"pattern_id": HEX}},
    "payload": lambda name: {"payload": {"pattern_id": HEX, "event_type": name}},
    "no payload": lambda name: {"pattern_id": HEX, "event_type": name},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CREATED)
def test_the_type_stands_in_any_place_and_spelling(place: str, name: str) -> None:
    assert read(PLACES[place](name), topic="any-topic") == Mention(None, HEX)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", OTHER)
def test_events_of_other_types_are_ignored(place: str, name: str) -> None:
    assert read(PLACES[place](name)) is None


def test_the_topic_tells_the_type_where_nothing_else_does() -> None:
    assert read({"pattern_id": HEX}) == Mention(None, HEX)
    assert read({"pattern_id": HEX}, topic="my-events") == Mention(None, HEX)
    with pytest.raises(UnreadableEventError):
        read({"name": "x"})
    assert read({"name": "x"}, topic="my-events") is None


@pytest.mark.parametrize("name", ["template.created", "org.user.created.v1"])
def test_something_else_that_was_created_is_ignored_unless_it_names_a_pattern(name: str) -> None:
    assert read({"event_type": name, "payload": {"user_id": 7}}) is None
    assert read({"event_type": name, "payload": {"pattern_id": HEX}}) == Mention(None, HEX)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"pattern_id": HEX}, Mention(None, HEX)),
        ({"pattern_id": str(NODE)}, Mention(NODE, str(NODE))),
        ({"pattern_id": str(NODE).upper()}, Mention(NODE, str(NODE).upper())),
        ({"node_id": str(NODE)}, Mention(NODE, None)),
        ({"node_id": str(NODE), "pattern_id": HEX}, Mention(NODE, HEX)),
        ({"node_id": "not one", "pattern_id": HEX}, Mention(None, HEX)),
        (
            {"node_id": None, "pattern_id": HEX, "pattern_data": {"code": "x"}, "unknown": [1, {"a": 2}]},
            Mention(None, HEX),
        ),
    ],
)
def test_ids_in_the_payload_or_at_the_top(fields: dict[str, Any], wanted: Mention) -> None:
    assert read({"event_type": "pattern_created", "payload": fields}) == wanted
    assert read({"event_type": "pattern_created", **fields}) == wanted


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"pattern_id": 17},
        {"pattern_id": ""},
        {"pattern_id": "a\0b"},
        {"pattern_id": "\ud800"},
        {"pattern_id": "x" * 1_001},
        {"node_id": "not one"},
        {"pattern_name": "f"},
    ],
)
def test_a_created_pattern_without_a_usable_id_is_unreadable(fields: dict[str, Any]) -> None:
    with pytest.raises(UnreadableEventError, match=r"node_id|pattern_id"):
        read({"event_type": "pattern_created", "payload": fields})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "no value"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b"\0\0\0\0\1{}", "not JSON"),
    ],
)
def test_what_cannot_be_read_says_why(value: bytes | None, why: str) -> None:
    with pytest.raises(UnreadableEventError, match=why):
        read_mention(value, None, TOPIC)


def test_what_python_writes_and_json_forbids_is_read() -> None:
    assert read({"pattern_id": HEX, "score": float("nan")}) == Mention(None, HEX)
    assert read_mention(b"\xef\xbb\xbf" + json.dumps({"pattern_id": HEX}).encode(), None, TOPIC) == Mention(None, HEX)


@pytest.mark.parametrize(
    ("event", "key", "wanted"),
    [
        ({"correlation_id": "c"}, b"k", "c"),
        ({"metadata": {"correlation_id": "c"}}, b"k", "c"),
        ({"payload": {"pattern_id": HEX, "correlation_id": "c"}}, b"k", "c"),
        ({}, b"k", "k"),
        ({}, None, None),
        ({}, b"\xff", None),
        ({"correlation_id": 17}, b"k", "k"),
        ({"correlation_id": "c" * 500}, None, "c" * 200),
    ],
)
def test_the_cause_is_a_field_or_the_key(event: dict[str, Any], key: bytes | None, wanted: str | None) -> None:
    mention = read({"pattern_id": HEX, **event}, key)
    assert mention
    assert mention.correlation_id == wanted


def test_mentions_of_one_pattern_are_one_whatever_caused_them() -> None:
    assert len({Mention(NODE, HEX, "a"), Mention(NODE, HEX, "b")}) == 1


NAMES = st.sampled_from(["payload", "metadata", "event_type", "node_id", "pattern_id", "correlation_id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=st.none() | st.binary(max_size=200), key=st.none() | st.binary(max_size=20), topic=st.text(max_size=30))
def test_wild_bytes_are_read_or_unreadable(value: bytes | None, key: bytes | None, topic: str) -> None:
    check(value, key, topic)


@given(
    event=st.dictionaries(NAMES | st.text(), JSON | st.sampled_from([*CREATED, *OTHER, HEX, str(NODE)]), max_size=6),
    topic=st.sampled_from([TOPIC, "other"]),
)
@example(event={"payload": {"pattern_id": "\ud800", "node_id": str(NODE)}}, topic=TOPIC)
def test_wild_json_is_read_or_unreadable(event: dict[str, Any], topic: str) -> None:
    check(json.dumps(event).encode(), None, topic)


def check(value: bytes | None, key: bytes | None, topic: str) -> None:
    try:
        mention = read_mention(value, key, topic)
    except UnreadableEventError:
        return
    if mention:
        assert mention.node_id or mention.pattern_id
        for text in (mention.pattern_id, mention.correlation_id):
            # What PostgreSQL can hold.
            assert text is None or ("\0" not in text and text.encode())
