"""What a person may ask of a migration run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from code_patterns.migrations.planning import Direction
from code_patterns.params import choose
from code_patterns.typed_fields import NOT_BOOLEAN, Flag

VERSIONS: Mapping[int, str] = {
    1: "001_pattern_learning_init",
    13: "013_remove_pattern_quality_fk",
    14: "014_add_pattern_quality_unique_constraint",
    15: "015_pattern_sync",
    16: "016_pattern_sync_index",
    17: "017_quality",
    18: "018_pattern_learning_traces",
    19: "019_pattern_search_index",
    20: "020_pattern_sync_outbox",
}
"""The migrations of ``include/migrations``, for the form: nothing is read while a DAG file is parsed."""


@dataclass(frozen=True)
class MigrationRequest:
    """One run, as asked for.

    :param direction: ``up`` or ``down``
    :param target: version to end at, or ``None`` for the newest
    :param dry_run: show the plan and change nothing
    """

    direction: Direction
    target: Annotated[int, Field(ge=0), NOT_BOOLEAN] | None
    dry_run: Flag


def read_request(direction: Any, target: Any, dry_run: Any) -> MigrationRequest:
    """Read the Params of a run, which arrive as values or, through a template, as their text.

    :raises ConfigurationError: a Param makes no sense; the message names it and its value
    """
    params = {"direction": direction, "target": target, "dry_run": dry_run}
    return choose(MigrationRequest, params, lambda name: None, defaults={"target": None})
