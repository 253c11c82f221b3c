"""The form of a DAG: its Params, made from the settings that the task checks, so that both allow the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import Param

from code_patterns.params import Choice, choices_of

OPEN = "Run Parameters"
"""The section that Airflow shows open. It shows all others closed."""
MOST_WITHOUT_SECTIONS = 4
"""A form with so many Params shows all of them open."""


@dataclass(frozen=True)
class Field:
    """How a form shows a Param.

    :param title: what the form calls it
    :param description: what it does; :func:`form` adds what an empty one falls back to
    :param section: where it stands in a longer form
    :param values: all that may be chosen, for a drop-down; empty leaves that to the settings
    :param labels: text by value in a drop-down, ``null`` for an empty one
    :param proposals: values that the form proposes; others are allowed too
    """

    title: str
    description: str
    section: str = OPEN
    values: Sequence[Any] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    proposals: Sequence[str] = ()


def form(settings: Sequence[type], fields: Mapping[str, Field], **defaults: Any) -> dict[str, Param]:
    """Make the Params of a DAG.

    A flag starts with its default. Any other Param starts empty; its description says what an empty one means.

    :param settings: the dataclasses of the settings, see :mod:`code_patterns.params`
    :param fields: what the form shows, by Param and in its order
    :param defaults: other defaults than those of the dataclasses; ``None`` lets a Param start empty
    """
    known = {name: choice for each in settings for name, choice in choices_of(each).items()}
    open_all = len(fields) <= MOST_WITHOUT_SECTIONS
    return {
        name: _param(known[name], shown, OPEN if open_all else shown.section, defaults)
        for name, shown in fields.items()
    }


def _param(choice: Choice, shown: Field, section: str, defaults: Mapping[str, Any]) -> Param:
    rules = dict(choice.rules)
    if shown.values:
        rules["enum"] = [*shown.values]
    flag_default = choice.default if rules["type"] == "boolean" else None
    default = defaults.get(choice.param, flag_default)
    if default is None:
        rules["type"] = ["null", rules["type"]]
        if "enum" in rules:
            rules["enum"] = [None, *rules["enum"]]
    if shown.labels:
        rules["values_display"] = dict(shown.labels)
    if shown.proposals:
        rules["examples"] = [*shown.proposals]
    description = f"{shown.description}{_when_empty(choice)}"
    return Param(default, description=description, title=shown.title, section=section, **rules)


def _when_empty(choice: Choice) -> str:
    if choice.variable:
        default = f"{choice.default:g}" if isinstance(choice.default, float) else choice.default
        return f" Empty: Variable {choice.variable}, else {default}."
    return ""
