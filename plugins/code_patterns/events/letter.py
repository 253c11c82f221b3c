"""The message that tells of an unreadable one."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from confluent_kafka import Message

Partition = tuple[str, int]


@dataclass(frozen=True)
class Letter:
    """A message of the topic of dead letters, in parts of which it may leave some out.

    :param key: key of the unreadable message
    :param fields: what is told of it
    :param room: bytes that key and value may take together
    """

    key: bytes | None
    fields: Mapping[str, Any]
    room: int

    def encoded(self) -> tuple[bytes, bytes | None]:
        """Value and key. The value is cut first; only a key that leaves no room for the other fields is left out."""
        if self.key and len(_cut(self.fields, 0)) + len(self.key) > self.room:
            return _fitted({**self.fields, "original_key_left_out": True}, self.room), None
        return _fitted(self.fields, self.room - len(self.key or b"")), self.key

    def smaller(self) -> "Letter | None":
        """The same for half of the room; ``None`` if nothing more can be left out."""
        less = replace(self, room=self.room // 2)
        return less if _size(less) < _size(self) else None


def letter_of(message: "Message", error: Exception, group: str, room: int) -> Letter:
    """Describe an unreadable message.

    :param error: why it cannot be read
    :param group: the consumer group that read it
    :param room: bytes that key and value may take together
    """
    (topic, partition), offset = place_of(message)
    fields = {
        "original_topic": topic,
        "original_partition": partition,
        "original_offset": offset,
        "original_timestamp": _timestamp(message),
        **_readable(_bytes(message.value())),
        "error": str(error),
        "error_type": type(error).__name__,
        "error_timestamp": datetime.now(UTC).isoformat(),
        "consumer_group": group,
    }
    return Letter(_bytes(message.key()), fields, room)


def place_of(message: "Message") -> tuple[Partition, int]:
    """The partition and the offset of a message."""
    return (str(message.topic()), int(message.partition() or 0)), int(message.offset() or 0)


def _size(letter: Letter) -> int:
    value, key = letter.encoded()
    return len(value) + len(key or b"")


def _fitted(fields: Mapping[str, Any], room: int) -> bytes:
    whole = orjson.dumps(fields)
    if len(whole) <= room:
        return whole
    # JSON needs up to six bytes for a character, and base64 four for three bytes.
    return _cut(fields, max(room - len(_cut(fields, 0)), 0) // 24 * 4)


def _cut(fields: Mapping[str, Any], length: int) -> bytes:
    text = fields["original_value"]
    cut = {} if text is None else {"original_value": text[:length], "original_value_truncated": True}
    return orjson.dumps({**fields, **cut})


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


def _bytes(data: "bytes | str | None") -> bytes | None:
    return data.encode() if isinstance(data, str) else data
