"""Read an event: which pattern it names. What it says about the pattern is never used, so it cannot be out of date."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from code_patterns.codes import Code
from code_patterns.errors import PatternsError

LONGEST_ID = 1_000
"""Longest id that is looked for, in characters: PostgreSQL cannot index a longer one."""
LONGEST_CORRELATION = 200


class UnreadableEventError(PatternsError):
    """A message is no event about a pattern, and should be one."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.EVENT_UNREADABLE, message)


@dataclass(frozen=True, slots=True)
class Mention:
    """What an event names. Two mentions of the same pattern are equal, whatever caused them.

    :param node_id: id of a row
    :param pattern_id: the text column ``pattern_id``; several versions, so several rows, may have it
    :param correlation_id: cause of the event
    """

    node_id: UUID | None
    pattern_id: str | None
    correlation_id: str | None = field(default=None, compare=False)


class _Type(Enum):
    """What the type of an event says."""

    CREATED = "a pattern was created"
    PERHAPS = "something was created, or nothing is said"
    OTHER = "something else"


def read_mention(value: bytes | None, key: bytes | None, topic: str) -> Mention | None:
    """Read a message.

    :param value: its value
    :param key: its key: the text of the correlation id, or nothing
    :param topic: its topic, whose name tells the type of an event without one
    :return: what it names, or ``None`` for an event of another type
    :raises UnreadableEventError: it is no JSON object, or a created pattern without a usable id
    """
    event = _object(value)
    payload = event.get("payload")
    # The payload first: fields beside it describe the envelope.
    parts = (payload, event) if isinstance(payload, dict) else (event,)
    kind = _type_of(event, payload, topic)
    if kind is _Type.OTHER:
        return None
    try:
        node_id, pattern_id = _ids(parts)
    except UnreadableEventError:
        if kind is _Type.PERHAPS:
            return None
        raise
    return Mention(node_id, pattern_id, _correlation(event, payload, key))


def _object(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise UnreadableEventError("The message has no value.")
    try:
        text = value.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableEventError(f"The value is not UTF-8: {error.reason} at byte {error.start}.") from None
    try:
        event = orjson.loads(text)
    except ValueError:
        # Python's own encoder writes NaN and lone surrogates, which orjson refuses.
        try:
            event = json.loads(text)
        except (ValueError, RecursionError) as error:
            why = (
                str(error) if isinstance(error, json.JSONDecodeError) else "it nests too deeply or holds a huge number"
            )
            raise UnreadableEventError(f"The value is not JSON: {why}.") from None
    if not isinstance(event, dict):
        raise UnreadableEventError("The value is JSON, but not an object.")
    return event


def _type_of(event: Mapping[str, Any], payload: Any, topic: str) -> _Type:
    """The first place that names a type decides."""
    for place in (event, event.get("metadata"), payload):
        if isinstance(place, dict) and isinstance(named := place.get("event_type"), str) and named.strip():
            return _judged(named)
    by_topic = _judged(topic)
    # Somebody chose this topic for these events, whatever it is called.
    return _Type.PERHAPS if by_topic is _Type.OTHER else by_topic


def _judged(name: str) -> _Type:
    """Judge a type such as ``PATTERN_CREATED`` or ``dev.archon-intelligence.pattern.created.v1``."""
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    found = [index for index, word in enumerate(words) if word == "created"]
    if not found:
        return _Type.OTHER
    before = [words[index - 1] if index else "" for index in found]
    return _Type.CREATED if {"", "pattern"}.intersection(before) else _Type.PERHAPS


def _ids(parts: tuple[Mapping[str, Any], ...]) -> tuple[UUID | None, str | None]:
    node_id = next(_uuids(part.get("node_id") for part in parts), None)
    pattern_id = next((text for part in parts if (text := _text(part.get("pattern_id")))), None)
    if pattern_id and node_id is None:
        # It may be the text of the column, or the row's id.
        node_id = next(_uuids([pattern_id]), None)
    if node_id or pattern_id:
        return node_id, pattern_id
    typed = [name for name in ("node_id", "pattern_id") if any(part.get(name) is not None for part in parts)]
    fault = f"has no usable {' or '.join(typed)}" if typed else "has neither node_id nor pattern_id"
    raise UnreadableEventError(f"The event {fault}: a UUID or a text of at most {LONGEST_ID:,} characters is needed.")


def _uuids(values: Any) -> Iterator[UUID]:
    for value in values:
        if isinstance(value, str):
            with suppress(ValueError):
                yield UUID(value.strip())


def _text(value: Any) -> str | None:
    """The text, if PostgreSQL can hold it."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID or "\0" in value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _correlation(event: Mapping[str, Any], payload: Any, key: bytes | None) -> str | None:
    for place in (event, event.get("metadata"), payload):
        if isinstance(place, dict) and (text := _text(place.get("correlation_id"))):
            return text[:LONGEST_CORRELATION]
    with suppress(UnicodeDecodeError):
        if key and (text := _text(key.decode())):
            return text[:LONGEST_CORRELATION]
    return None
