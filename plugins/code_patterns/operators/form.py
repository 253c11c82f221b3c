"""The form of a DAG: its Params, made from the settings that the task checks, so that both allow the same."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from code_patterns.migrations.request import MigrationRequest
from code_patterns.params import Choice, choices_of
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.sync.sync_settings import SyncSettings


def sync_form(**descriptions: str) -> dict[str, Param]:
    """The Params of a DAG that syncs or verifies; see :func:`form`."""
    return form(SyncSettings, descriptions)


def backfill_form(**descriptions: str) -> dict[str, Param]:
    """The Params of a DAG that scores; see :func:`form`."""
    # What an empty one means depends on whether an asset triggered the run.
    return form(BackfillSettings, descriptions, only_missing=None)


def migration_form(**descriptions: str) -> dict[str, Param]:
    """The Params of a DAG that migrates; see :func:`form`."""
    return form(MigrationRequest, descriptions, direction="up", dry_run=True)


def form(settings: type, descriptions: Mapping[str, str], **defaults: Any) -> dict[str, Param]:
    """Make the Params of a DAG.

    A flag starts with its default. Any other Param starts empty; its description says what an empty one means.

    :param settings: the dataclass of the settings, see :mod:`code_patterns.params`
    :param descriptions: text by Param, in the order of the form
    :param defaults: other defaults than those of the dataclass; ``None`` lets a Param start empty
    """
    known = choices_of(settings)
    return {name: _param(known[name], text, defaults) for name, text in descriptions.items()}


def _param(choice: Choice, description: str, defaults: Mapping[str, Any]) -> Param:
    rules = dict(choice.rules)
    flag_default = choice.default if rules["type"] == "boolean" else None
    default = defaults.get(choice.param, flag_default)
    if default is None:
        rules["type"] = ["null", rules["type"]]
        if "enum" in rules:
            rules["enum"] = [None, *rules["enum"]]
    return Param(default, description=f"{description}{_when_empty(choice)}", **rules)


def _when_empty(choice: Choice) -> str:
    if choice.variable:
        return f"; empty: Variable {choice.variable}, else {choice.default}"
    return ""
