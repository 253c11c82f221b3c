"""What a person may choose for a sync."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from code_patterns.errors import ConfigurationError
from code_patterns.params import (
    ReadVariable,
    choose_flag,
    choose_fraction,
    choose_seconds,
    choose_whole_number,
    chosen,
)
from code_patterns.sync.diff import IdRange


@dataclass(frozen=True)
class Interval:
    """A span of time, ``[start, end)``."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class SyncSettings:
    """How one run behaves.

    :param mode: which kind of run, unless ``interval`` or ``id_range`` is set: ``incremental`` takes what changed since
        the last run, ``full`` compares everything by its hashes, ``verify`` reads both sides whole
    :param collection: alias or collection in Qdrant
    :param batch_size: patterns embedded and written together
    :param delay_seconds: pause between batches
    :param limit: most rows to look at, or ``None`` for all
    :param dry_run: count what would be done and write nothing anywhere
    :param max_delete_fraction: a full sync refuses to delete more than this share of the points
    :param allow_mass_delete: let this one run delete more than that
    :param rollback: bring the collection that readers saw before this one up to date and let them see it again
    :param heal: write anew what ``verify`` finds wrong
    :param interval: re-sync the rows created or updated in this span instead, and leave the watermark alone
    :param id_range: be a shard: do only the writing of a full sync, and only for these ids
    :param shards: into how many id ranges a full sync is to be cut; ``None`` decides by the work there is
    :param points_before: how many points there were before shards added theirs; ``None`` where none did
    """

    mode: str
    collection: str
    batch_size: int
    delay_seconds: float
    limit: int | None
    dry_run: bool
    max_delete_fraction: float
    allow_mass_delete: bool
    rollback: bool = False
    heal: bool = False
    interval: Interval | None = None
    id_range: IdRange | None = None
    shards: int | None = None
    points_before: int | None = None


def choose(
    mode: str, params: Mapping[str, Any], interval: Interval | None, read_variable: ReadVariable
) -> SyncSettings:
    """Choose everything for one run.

    :param mode: one of :data:`code_patterns.sync.runs.MODES`
    :param params: what the person entered; a missing, ``None`` or blank entry falls back to its Variable
    :param interval: from :func:`interval_of`
    :param read_variable: reads an Airflow Variable
    :raises ConfigurationError: naming the Param or Variable that makes no sense, and its value
    """
    id_range = params.get("id_range")
    batch_size = choose_whole_number(
        "batch_size", params.get("batch_size"), "pattern_sync_batch_size", 100, read_variable
    )
    return SyncSettings(
        mode=mode,
        collection=choose_collection(params.get("collection"), read_variable),
        batch_size=batch_size or 100,
        delay_seconds=choose_seconds(
            "delay_seconds", params.get("delay_seconds"), "pattern_sync_delay_seconds", 0.0, read_variable
        ),
        limit=choose_whole_number("limit", params.get("limit"), None, None, read_variable),
        dry_run=choose_flag("dry_run", params.get("dry_run")),
        max_delete_fraction=choose_fraction("pattern_sync_max_delete_fraction", 0.2, read_variable),
        allow_mass_delete=choose_flag("allow_mass_delete", params.get("allow_mass_delete")),
        rollback=choose_flag("rollback", params.get("rollback")),
        heal=choose_flag("heal", params.get("heal")),
        interval=interval,
        id_range=IdRange(UUID(id_range["first"]), UUID(id_range["last"])) if id_range else None,
        shards=choose_whole_number("shards", params.get("shards"), None, None, read_variable),
        points_before=params.get("points_before"),
    )


def interval_of(
    run_type: str, start: datetime | None, end: datetime | None, run_after: datetime | None
) -> Interval | None:
    """Tell whether a run is for a past span of time, and for which.

    A backfill always is. A manual run is when somebody chose another date or interval than the one that Airflow's form
    fills in, the last whole hour: someone who just presses the button wants what is new.

    :param run_type: Airflow's ``dag_run.run_type``
    :param start: begin of the run's data interval, if it has one
    :param end: its end
    :param run_after: when the run was allowed to start
    """
    if start is None or end is None or start >= end:
        return None
    if run_type == "backfill":
        return Interval(start, end)
    if run_type != "manual" or run_after is None:
        return None
    last_hour = run_after.replace(minute=0, second=0, microsecond=0)
    chosen = (start, end) != (last_hour - timedelta(hours=1), last_hour)
    return Interval(start, end) if chosen else None


def choose_collection(param: Any, read_variable: ReadVariable) -> str:
    """Choose the collection's name.

    :raises ConfigurationError: when the chosen name is blank or a collection the sync must not touch
    """
    where, value = chosen("collection", param, "patterns_collection", "code_patterns", read_variable)
    name = str(value).strip()
    if not name or "/" in name:
        raise ConfigurationError(f"{where} is {value!r}; it must be the name of a Qdrant collection.")
    if name in ("execution_patterns", "archon_vectors", "quality_vectors"):
        raise ConfigurationError(
            f"{where} is {value!r}, a collection that the sync never writes. Name another one, such as 'code_patterns'."
        )
    return name
