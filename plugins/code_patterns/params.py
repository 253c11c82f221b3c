"""The settings of a run: a Param beats the Variable, and the Variable beats the default.

The settings of a kind of run are one frozen dataclass. Its fields state types, limits and defaults. :class:`Variable`
in a field's ``Annotated`` names the Airflow Variable that it falls back to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.typed_fields import first_error, rule_of

ReadVariable = Callable[[str], str | None]
"""Returns the text of an Airflow Variable, or ``None`` if there is none."""
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Variable:
    """The Airflow Variable that a setting falls back to."""

    name: str


@dataclass(frozen=True)
class Param:
    """The Param of a setting, if it has another name than the field."""

    name: str


@dataclass(frozen=True)
class Choice:
    """What a person may choose for one setting.

    :param param: its Param
    :param variable: the Variable that an empty Param falls back to
    :param default: the default, in JSON
    :param rules: type, limits and allowed values, as in a JSON schema
    """

    param: str
    variable: str | None
    default: Any
    rules: Mapping[str, Any]


def choose(
    settings: type[Settings],
    params: Mapping[str, Any],
    read_variable: ReadVariable,
    *,
    defaults: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Settings:
    """Make the settings of one run.

    :param settings: a dataclass, as described above
    :param params: the Params; a missing, ``None`` or blank one falls back to its Variable
    :param read_variable: reads an Airflow Variable
    :param defaults: replaces defaults of the dataclass in this run, by Param
    :param given: fields that no person chooses
    :raises ConfigurationError: a Param or Variable makes no sense; the message names it, its value and what is allowed
    """
    values, origins = dict(given or {}), {}
    for name, (param, variable) in _names(settings).items():
        if name in values:
            continue
        origins[name] = f"The Param '{param}' is {params.get(param)!r}"
        if is_set(params.get(param)):
            values[name] = params[param]
        elif variable and (text := read_variable(variable)) is not None:
            origins[name], values[name] = f"The Variable '{variable}' is {text!r}", text
        elif defaults and param in defaults:
            values[name] = defaults[param]
    model = TypeAdapter(settings)
    try:
        return model.validate_python(values)
    except ValidationError as error:
        found = first_error(error)
        rule = rule_of(found, model.json_schema())
    raise ConfigurationError(Code.SETTING_WRONG, f"{origins[str(found['loc'][0])]}; it must be {rule}.")


@cache
def choices_of(settings: type) -> dict[str, Choice]:
    """What a person may choose, by Param.

    :param settings: a dataclass, as described above
    """
    properties = TypeAdapter(settings).json_schema()["properties"]
    return {
        param: Choice(param, variable, properties[name].get("default"), _rules(properties[name]))
        for name, (param, variable) in _names(settings).items()
    }


def _names(settings: type) -> dict[str, tuple[str, str | None]]:
    """The Param and the Variable of each field."""
    found = {}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        param = next((mark.name for mark in marks if isinstance(mark, Param)), name)
        found[name] = (param, next((mark.name for mark in marks if isinstance(mark, Variable)), None))
    return found


def _rules(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return {key: value for key, value in kinds[0].items() if key not in ("default", "title", "examples")}


def is_set(param: Any) -> bool:
    """Whether a Param was filled in; a template renders an empty one as "None"."""
    return param is not None and str(param).strip() not in ("", "None")
