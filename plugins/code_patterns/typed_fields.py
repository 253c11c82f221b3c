"""Types for the values of connections, Params and Variables, and what is allowed, in words.

Many values are text: those of a connection given as a URI, of a Variable, of a rendered template.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

_NOUNS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a JSON object",
}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a boolean")
    return value


def _days(value: Any) -> Any:
    return 0 if isinstance(value, str) and not value.strip() else _not_boolean(value)


def _within_a_century(days: int) -> int:
    # A larger number leads to a time that neither PostgreSQL nor Python has.
    return min(days, 36_500)


def _flag(value: Any) -> Any:
    return _FLAGS.get(str(value).strip().lower(), "neither")


NOT_BOOLEAN = BeforeValidator(_not_boolean)
"""Refuses true and false, which are numbers in Python; the last entry of a number's ``Annotated``."""
Flag = Annotated[bool, BeforeValidator(_flag)]
"""True or false, or their texts, and no other word: a misread "no" could make a dry run write."""
Word = Annotated[str, StringConstraints(strip_whitespace=True)]
"""A text without blanks at its ends."""
COLLECTION_NAME = "^[^/]*$"
"""What a form refuses at once. An empty one falls back to something else."""


def collection_name(name: str) -> str:
    """Return the name of a collection or alias in Qdrant; a validator."""
    if not name or "/" in name:
        raise own_rule("the name of a Qdrant collection")
    return name


CollectionName = Annotated[Word, AfterValidator(collection_name), Field(json_schema_extra={"pattern": COLLECTION_NAME})]
"""The name of a collection or alias in Qdrant."""

BatchSize = Annotated[int, Field(ge=1, le=5_000), NOT_BOOLEAN]
"""Patterns that are handled together. More take memory and save no time."""
Limit = Annotated[int, Field(ge=1, le=1_000_000_000), NOT_BOOLEAN]
"""Most patterns that a run looks at."""
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False), NOT_BOOLEAN]
"""A wait, at most a day."""
Days = Annotated[int, Field(ge=0, examples=[90]), AfterValidator(_within_a_century), BeforeValidator(_days)]
"""How long something is kept; 0, or nothing, means for ever."""


def readable(path: str) -> str:
    """Return the path of a file that can be opened here; a validator."""
    try:
        with Path(path).open("rb"):
            return path
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        raise own_rule(f"a file that this machine can read ({reason})") from None


def own_rule(rule: str) -> PydanticCustomError:
    """Make an error that says what is allowed, for a validator.

    :param rule: the end of a sentence that begins with "it must be"
    """
    # pydantic takes the text for a template and would look for names in braces.
    return PydanticCustomError("own_rule", "{rule}", {"rule": rule})


File = Annotated[str, AfterValidator(readable)]
"""Path of a file that can be read here."""

_MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$"
_DAY = r"^\d{4}-\d{2}-\d{2}$"


def _moment(value: Any) -> datetime:
    with suppress(ValueError):
        if re.search(_MOMENT, text := str(value).strip()):
            return datetime.fromisoformat(text)
    raise own_rule("a time with its zone, such as 2026-03-01T14:00:00Z")


def _day(value: Any) -> date:
    with suppress(ValueError):
        if re.search(_DAY, text := str(value).strip()):
            return date.fromisoformat(text)
    raise own_rule("a day such as 2026-03-01")


def moment_or_day(value: Any) -> datetime | date:
    """Read a time with its zone, or a day; for a validator."""
    for read in (_moment, _day):
        with suppress(PydanticCustomError):
            return read(value)
    raise own_rule("a day such as 2026-03-01, or a time with its zone, such as 2026-03-01T14:00:00Z")


# Airflow checks the format "date-time" only where another package is installed. It always checks a pattern.
Moment = Annotated[datetime, BeforeValidator(_moment), Field(json_schema_extra={"pattern": _MOMENT})]
"""A time with its zone. Without one, person, worker and database could each mean another moment."""
Day = Annotated[date, BeforeValidator(_day), Field(json_schema_extra={"pattern": _DAY})]
"""A day."""


def readable_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields; in a name half of a surrogate pair, which JSON allows and no text holds, is ``?``.

    Pydantic would say that something is wrong, and not which field.
    """
    return {f"{name}".encode("utf-8", "replace").decode(): value for name, value in fields.items()}


def first_error(error: ValidationError) -> ErrorDetails:
    """Return the error for the message: people read one sentence, not a list."""
    return error.errors(include_url=False)[0]


def rule_of(error: ErrorDetails, schema: Mapping[str, Any]) -> str:
    """Say what is allowed, as the end of a sentence that begins with "it must be".

    :param error: from :func:`first_error`
    :param schema: JSON schema of the model that raised it
    """
    if error["type"] == "own_rule":
        return str(error["ctx"]["rule"])
    field = field_at(schema, path_of(error, schema))
    kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    words = [_words(kind) for kind in kinds]
    example = f", such as {field['examples'][0]}" if "examples" in field else ""
    return " or ".join(dict.fromkeys(words)) + example


def path_of(error: ErrorDetails, schema: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that lead to an error.

    :param error: from :func:`first_error`
    :param schema: JSON schema of the model that raised it
    """
    path: list[str] = []
    for name in error["loc"]:
        # Below a field that is no model, pydantic names what it tried.
        if "properties" not in field_at(schema, path):
            break
        path.append(str(name))
    return path


def field_at(schema: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    """Return the JSON schema of a field, which may lie in a model within the model.

    :param schema: of the outer model
    :param path: names of the fields that lead there; nothing for the outer model itself
    """
    field = schema
    for name in path:
        field = field.get("properties", {}).get(name) or field.get("additionalProperties") or {}
        for inner in field.get("anyOf", [field]):
            if "$ref" in inner:
                field = schema["$defs"][inner["$ref"].rpartition("/")[2]]
    return field


def _words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(str(value) for value in schema['enum'] if value != '')}"
    noun = _NOUNS.get(schema.get("type", ""), "of another form")
    if "maxLength" in schema:
        return f"{noun} of at most {schema['maxLength']:,} characters"
    least, most, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if above is not None:
        return f"{noun} above {above}" + (f" and up to {most}" if most is not None else "")
    if most is not None:
        return f"{noun} from {least} to {most}"
    return noun if least is None else f"{noun} of at least {least}"
