"""What a person may ask of a migration run."""

from dataclasses import dataclass
from typing import Any

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.planning import Direction


@dataclass(frozen=True)
class MigrationRequest:
    """One run, as asked for.

    :param direction: ``up`` or ``down``
    :param target: version to end at, or ``None`` for the newest
    :param dry_run: show the plan and change nothing
    """

    direction: Direction
    target: int | None
    dry_run: bool


def read_request(direction: Any, target: Any, dry_run: Any) -> MigrationRequest:
    """Read the Params of a run, which arrive as values or, through a template, as their text.

    :raises ConfigurationError: naming the Param that makes no sense, and its value
    """
    chosen: dict[str, Direction] = {"up": "up", "down": "down"}
    if direction not in chosen:
        raise ConfigurationError(f"Param direction is {direction!r}; it must be 'up' or 'down'.")
    # Nothing but a clear "false" may let a run change the database.
    flags = {"true": True, "false": False}
    if (flag := str(dry_run).strip().lower()) not in flags:
        raise ConfigurationError(f"Param dry_run is {dry_run!r}; it must be true or false.")
    number = str(target).strip()
    if number in ("None", ""):
        return MigrationRequest(chosen[direction], None, flags[flag])
    if not number.isdecimal():
        raise ConfigurationError(f"Param target is {target!r}; it must be the number of a migration, or empty.")
    return MigrationRequest(chosen[direction], int(number), flags[flag])
