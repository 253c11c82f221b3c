"""Check one value of a caller and convert it for asyncpg.

Every function takes the field's name, for the message, and the value. It raises :class:`Refusal`.
"""

import json
import math
import re
from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, NoReturn
from uuid import UUID

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.sql import unstorable

_LARGEST_BIGINT = 2**63 - 1
_LARGEST_INTEGER = 2**31 - 1
_LARGEST_QUALITY = 1e100
_DEEPEST = 100
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

INFINITE_PAST, INFINITE_FUTURE = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""What asyncpg sends as -infinity and infinity: between them, a time is stored as it is."""


class Refusal(ConfigurationError):  # noqa: N818 -- the caller's mistake: it becomes a failed result, never leaves a node
    """An argument is missing or makes no sense; the text names it."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.ARGUMENT_REFUSED, message)


def refuse(name: str, value: Any, rule: str) -> NoReturn:
    """Refuse a value with one form of sentence.

    :raises Refusal: always
    """
    shown = plain(value, repr)
    raise Refusal(f"{name} is {shown if len(shown) <= 80 else shown[:77] + '...'}; it must be {rule}.")


def plain(value: Any, form: Callable[[Any], str] = str) -> str:
    """Return the text of anything; of what has none, such as a number of 5,000 digits, the type."""
    try:
        return form(value)
    except Exception:
        return f"<{type(value).__name__}>"


def text(name: str, value: Any) -> str:
    """Return a text that PostgreSQL can store: it has no NUL and no lone surrogate."""
    if not isinstance(value, str):
        refuse(name, value, "a text")
    _check_storable(name, value)
    return value


def filled_text(name: str, value: Any) -> str:
    """Return a text that is not blank."""
    if not text(name, value).strip():
        refuse(name, value, "a text that is not empty")
    return str(value)


def number(name: str, value: Any) -> float:
    """Return a finite number."""
    return _number(name, value, "a finite number")


def quality(name: str, value: Any) -> float:
    """Return a quality on a scale of the caller's own, of which averages can be made."""
    # Averages of double precision square the deviations. Queries leave out differences beyond twice this bound.
    rule = f"a number from {-_LARGEST_QUALITY:g} to {_LARGEST_QUALITY:g}"
    found = _number(name, value, rule)
    if abs(found) > _LARGEST_QUALITY:
        refuse(name, value, rule)
    return found


def share(name: str, value: Any) -> float:
    """Return a number from 0 to 1."""
    found = _number(name, value, "a number from 0 to 1")
    if not 0 <= found <= 1:
        refuse(name, value, "a number from 0 to 1")
    return found


def count(name: str, value: Any) -> int:
    """Return a whole number from 0 up to what a bigint holds."""
    return _whole_number(name, value, _LARGEST_BIGINT)


def milliseconds(name: str, value: Any) -> int:
    """Return a duration in whole milliseconds, rounded, from 0 up to what an integer holds."""
    rule = f"a number of milliseconds from 0 to {_LARGEST_INTEGER}"
    found = _number(name, value, rule)
    if not 0 <= found <= _LARGEST_INTEGER:
        refuse(name, value, rule)
    return round(found)


def flag(name: str, value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        refuse(name, value, "true or false")
    return value


def identity(name: str, value: Any) -> UUID:
    """Return a UUID, from a UUID or its text."""
    if isinstance(value, UUID):
        return value
    try:
        if isinstance(value, str) and value.isascii():
            return UUID(value)
    except ValueError:
        pass
    refuse(name, value, "a UUID such as '6ba7b810-9dad-11d1-80b4-00c04fd430c8'")


def moment(name: str, value: Any) -> datetime:
    """Return a time in UTC, from a datetime or ISO 8601 text; a time without a zone is in UTC."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(found, datetime):
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
            if INFINITE_PAST < found < INFINITE_FUTURE:
                return found
            refuse(name, value, f"a time after {INFINITE_PAST.isoformat()} and before {INFINITE_FUTURE.isoformat()}")
    except (OverflowError, ValueError):
        pass
    refuse(name, value, "a time such as 2026-03-01T00:00:00+00:00")


def labels(name: str, value: Any) -> list[str]:
    """Return a list of texts; a single text becomes a list of one."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Sequence | Set) or not all(isinstance(label, str) for label in value):
        refuse(name, value, "a list of texts")
    for label in value:
        _check_storable(name, label)
    return list(value)


def document(name: str, value: Any) -> str:
    """Return a JSON value as its text."""
    rule = "a JSON value: objects, lists, texts, finite numbers, true, false or null"
    shallow = f"{rule}, nested at most {_DEEPEST} deep"
    try:
        encoded = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except RecursionError:
        # Some versions of Python give up sooner than others.
        refuse(name, value, shallow)
    except (TypeError, ValueError):
        refuse(name, value, rule)
    # Whoever reads it may have less room on the stack than whoever writes it.
    if is_deeper(value, _DEEPEST):
        refuse(name, value, shallow)
    _check_storable(name, encoded)
    if _ESCAPED_NUL.search(encoded):
        refuse(name, value, f"{rule}, without the character NUL")
    return encoded


def is_deeper(value: Any, most: int) -> bool:
    """Whether a JSON value is nested more than so many levels deep."""
    level = [value]
    for _ in range(most + 1):
        nested = [each for each in level if isinstance(each, dict | list | tuple)]
        if not nested:
            return False
        level = [one for each in nested for one in (each.values() if isinstance(each, dict) else each)]
    return True


def _check_storable(name: str, value: str) -> None:
    if what := unstorable(value):
        refuse(name, value, f"a text without {what}")


def _number(name: str, value: Any, rule: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        refuse(name, value, rule)
    try:
        found = float(value)
    except (OverflowError, ValueError):
        refuse(name, value, rule)
    if not math.isfinite(found):
        refuse(name, value, rule)
    return found


def _whole_number(name: str, value: Any, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) <= largest:
        refuse(name, value, f"a whole number from 0 to {largest}")
    return int(value)
