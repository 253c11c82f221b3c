"""The base of the connection models: fields, the extra's JSON, and the message for a wrong extra."""

import json
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.typed_fields import field_at, first_error, path_of, rule_of

_SECRET = re.compile("key|passw|secret|token|url|proxy", re.IGNORECASE)
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class ConnectionFields:
    """The fields of an Airflow connection as typed; an empty field is an empty text or ``None``.

    :param conn_id: name of the connection, used in messages
    :param extra: a JSON object, or nothing
    """

    conn_id: str
    host: str = ""
    port: int | None = None
    schema: str = ""
    login: str = ""
    password: str | None = field(default=None, repr=False)
    extra: str | None = field(default=None, repr=False)


class ConnectionExtra(BaseModel):
    """Base of the models of extras: one model per connection type, one field per extra.

    A form stores an empty field as null or as an empty text; both mean "not set".
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    known_in_words: ClassVar[str] = ""
    """What may be set, for the message about an unknown extra; empty for the list of fields."""

    @classmethod
    def known(cls) -> set[str]:
        """Return the names that may be set."""
        return set(cls.model_fields)

    @classmethod
    def read(cls, connection: ConnectionFields) -> Self:
        """Decode and check the extra of a connection.

        :raises ConfigurationError: the extra is not a JSON object, or an extra is unknown or makes no sense
        """
        conn_id, values = connection.conn_id, decoded_extra(connection)
        for name in sorted(values.keys() - cls.known()):
            raise _unknown(conn_id, [name], cls.known(), cls.known_in_words or ", ".join(cls.model_fields))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            found = first_error(error)
            schema = cls.model_json_schema()
            rule = rule_of(found, schema)
            path = path_of(found, schema)
        name = ".".join(path)
        if found["type"] == "extra_forbidden":
            known = field_at(schema, path[:-1])["properties"]
            raise _unknown(conn_id, path, known, ", ".join(known))
        lacks = path[0] not in values or found["type"] == "missing"
        fault = f"lacks the extra '{name}'" if lacks else f"has extra '{name}'{_shown(name, _typed(values, path))}"
        raise ConfigurationError(
            Code.CONNECTION_WRONG, f"Connection '{conn_id}' {fault}. It must be {rule}; set it there."
        )


def _unknown(conn_id: str, path: Sequence[str], known: Collection[str], in_words: str) -> ConfigurationError:
    remedy = f"Remove or rename it; known are {in_words}."
    if nearest := get_close_matches(path[-1], known, 1):
        remedy = f"Did you mean '{nearest[0]}'? {remedy}"
    return ConfigurationError(
        Code.CONNECTION_WRONG, f"Connection '{conn_id}' has the unknown extra '{'.'.join(path)}'. {remedy}"
    )


def api_key_of(connection: ConnectionFields) -> str | None:
    """Return the password of a connection as an API key.

    :raises ConfigurationError: no HTTP header can carry it; the client's own error would show it
    """
    key = (connection.password or "").strip()
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"The password (API key) of connection '{connection.conn_id}' holds a blank, a line break or a character "
            "beyond ASCII, which no HTTP header can carry. Enter the key again.",
        )
    return key or None


def decoded_extra(connection: ConnectionFields, example: str = '{"timeout": 30}') -> dict[str, Any]:
    """Decode the extra of a connection, without what is not set.

    :param example: an extra, for the message
    :raises ConfigurationError: the extra is not a JSON object
    """
    text = (connection.extra or "").strip()
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"The extra of connection '{connection.conn_id}' is not a JSON object. Correct it, for example: {example}.",
        )
    return {name: value for name, value in values.items() if value not in (None, "")}


def _typed(values: Any, path: Sequence[str]) -> Any:
    """What was typed, before a validator made something else of it."""
    for name in path:
        with suppress(ValueError, TypeError):
            values = json.loads(values)
        values = values.get(name) if isinstance(values, dict) else values
    return values


def _shown(name: str, value: Any) -> str:
    """Return the value for a message; nothing if it may hold a secret."""
    if not isinstance(value, str | int | float) or _SECRET.search(name) or "://" in str(value):
        return ""
    text = repr(value)
    return f" = {text if len(text) <= _LONGEST_VALUE else f'{text[:_LONGEST_VALUE]}…'}"
