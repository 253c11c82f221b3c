"""The settings of a sync."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from croniter import croniter
from pydantic import AfterValidator, Field

from code_patterns import params as run_params
from code_patterns.params import ReadVariable, Variable
from code_patterns.servers.patience import PATIENCE_SECONDS
from code_patterns.sync.diff import IdRange
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget
from code_patterns.typed_fields import NOT_BOOLEAN, BatchSize, CollectionName, Days, Flag, Limit, Seconds, own_rule

NEVER_WRITTEN = ("execution_patterns", "archon_vectors", "quality_vectors")
"""Collections of other writers."""

NO_NAMES = ("all", "None")
"""What a Param takes for all collections, and for none."""

HOURLY = "0 * * * *"
"""The schedule of the hourly run."""


@dataclass(frozen=True)
class Interval:
    """A span of time, ``[start, end)``."""

    start: datetime
    end: datetime


def _writable(name: str) -> str:
    if name in NEVER_WRITTEN:
        raise own_rule(f"a collection such as 'code_patterns': the sync never writes {', '.join(NEVER_WRITTEN)}")
    if name in NO_NAMES:
        raise own_rule(f"a name other than {' and '.join(map(repr, NO_NAMES))}, which mean something else in a Param")
    return name


WritableCollection = Annotated[
    CollectionName, AfterValidator(_writable), Field(json_schema_extra={"not": {"enum": [*NEVER_WRITTEN, *NO_NAMES]}})
]
"""The name of a collection or alias that the sync may write."""
_Written = Annotated[WritableCollection, Variable("patterns_collection")]


@dataclass(frozen=True)
class SyncedCollection:
    """The collection of a run without Params.

    :param name: alias or collection in Qdrant
    """

    name: _Written = "code_patterns"


@dataclass(frozen=True)
class SyncSettings:
    """The settings of one run.

    :param mode: which kind of run, unless ``interval`` or ``id_range`` is set: ``incremental`` takes what changed since
        the last run, ``full`` compares everything by its hashes, ``verify`` reads both sides whole, ``stream`` takes
        changes as they come
    :param collection: alias or collection in Qdrant
    :param batch_size: patterns embedded and written together
    :param delay_seconds: pause between batches
    :param limit: most rows to examine, or ``None`` for all
    :param dry_run: count what would be done and write nothing anywhere
    :param max_delete_fraction: a full sync refuses to delete more than this share of the points
    :param allow_mass_delete: let this one run delete more than that
    :param rollback: bring the collection that readers saw before this one up to date and let them see it again
    :param take_over: let a full sync make a collection of another database this one's
    :param retry_dead_letters: try all dead letters now, also those that have not waited long enough
    :param heal: write again what ``verify`` finds wrong
    :param nights: in how many nights ``verify`` reads every point whole once; the others are compared by digests
    :param interval: sync only the rows created or updated in this span, and do not move the watermark
    :param id_range: be a shard: do only the writing of a full sync, and only for these ids
    :param shards: number of id ranges of a full sync; ``None`` decides by the work
    :param points_before: number of points before shards; ``None`` without shards
    :param patience_seconds: seconds that the run waits at its start for servers that are down
    :param target: whose run this is, and which rows that target has
    """

    mode: str
    collection: _Written = "code_patterns"
    batch_size: Annotated[BatchSize, Variable("pattern_sync_batch_size")] = 100
    delay_seconds: Annotated[Seconds, Variable("pattern_sync_delay_seconds")] = 0.0
    limit: Limit | None = None
    dry_run: Flag = False
    max_delete_fraction: Annotated[
        float, Field(gt=0, le=1, examples=[0.2]), NOT_BOOLEAN, Variable("pattern_sync_max_delete_fraction")
    ] = 0.2
    allow_mass_delete: Flag = False
    rollback: Flag = False
    take_over: Flag = False
    retry_dead_letters: Flag = False
    heal: Flag = False
    nights: Annotated[int, Field(ge=1, le=100), NOT_BOOLEAN, Variable("pattern_verify_nights")] = 1
    interval: Interval | None = None
    id_range: IdRange | None = None
    shards: Annotated[int, Field(ge=1, le=100), NOT_BOOLEAN] | None = None
    points_before: int | None = None
    patience_seconds: Annotated[Seconds, Variable("patterns_patience_seconds")] = PATIENCE_SECONDS
    target: SyncTarget = WITHOUT_NAME


@dataclass(frozen=True)
class StreamSettings(SyncSettings):
    """The settings of a stream: those of a run, and these.

    :param linger_seconds: it ends when nothing has changed for so long
    :param max_minutes: it ends after that time, and the next one goes on
    :param poll_milliseconds: how often it looks for changes
    """

    linger_seconds: Annotated[Seconds, Variable("pattern_stream_linger_seconds")] = 600.0
    max_minutes: Annotated[
        float, Field(gt=0, le=1_440, allow_inf_nan=False), NOT_BOOLEAN, Variable("pattern_stream_max_minutes")
    ] = 60.0
    poll_milliseconds: Annotated[
        int, Field(ge=50, le=60_000), NOT_BOOLEAN, Variable("pattern_stream_poll_milliseconds")
    ] = 250


@dataclass(frozen=True)
class RetentionSettings:
    """How long things are kept, in days; 0 keeps them for ever.

    :param collection: alias or collection in Qdrant; only collections that were behind this name are deleted
    :param run_days: a run in the histories of sync and scores, after its end
    :param tombstone_days: a tombstone that some collection has not taken; the checkpoint and the dead letters of a
        collection that is gone, after its last run
    :param collection_days: a collection that no alias names any more
    :param dry_run: count what would be deleted, and delete nothing
    :param patience_seconds: seconds to wait at the start for servers that are down
    :param target: whose collections they were
    """

    collection: _Written = "code_patterns"
    dry_run: Flag = False
    run_days: Annotated[Days, Variable("pattern_run_retention_days")] = 90
    tombstone_days: Annotated[Days, Variable("pattern_tombstone_retention_days")] = 30
    collection_days: Annotated[Days, Variable("pattern_collection_retention_days")] = 30
    patience_seconds: Annotated[Seconds, Variable("patterns_patience_seconds")] = PATIENCE_SECONDS
    target: SyncTarget = WITHOUT_NAME


@dataclass(frozen=True)
class BackupSettings:
    """The settings of a backup.

    :param collection: alias or collection in Qdrant
    :param keep: how many snapshots stay, this one included
    :param patience_seconds: seconds to wait at the start for servers that are down
    :param target: whose collection it is
    """

    collection: _Written = "code_patterns"
    keep: Annotated[int, Field(ge=1, le=1_000), NOT_BOOLEAN, Variable("pattern_backup_keep")] = 3
    patience_seconds: Annotated[Seconds, Variable("patterns_patience_seconds")] = PATIENCE_SECONDS
    target: SyncTarget = WITHOUT_NAME


Settings = TypeVar("Settings", bound=SyncSettings)


def choose(
    settings: type[Settings],
    mode: str,
    params: Mapping[str, Any],
    interval: Interval | None,
    read_variable: ReadVariable,
    target: SyncTarget = WITHOUT_NAME,
) -> Settings:
    """Make the settings of one run; see :func:`code_patterns.params.choose`.

    :param settings: of a run, or of a stream
    :param mode: one of :data:`code_patterns.sync.runs.MODES`, or ``stream``
    :param interval: from :func:`interval_of`
    :param target: whose run it is
    """
    given = {"mode": mode, "interval": interval, "target": target}
    return run_params.choose(settings, params, read_variable, given=given)


def interval_of(
    run_type: str, start: datetime | None, end: datetime | None, run_after: datetime | None, cron: str = HOURLY
) -> Interval | None:
    """Return the past span of time of a run, or ``None``.

    A backfill always has one. A manual run has one if somebody chose another date or interval than the last one of the
    schedule, which Airflow's form fills in: who only presses the button wants what is new.

    :param run_type: Airflow's ``dag_run.run_type``
    :param start: begin of the run's data interval, if it has one
    :param end: its end
    :param run_after: when the run was allowed to start
    :param cron: the schedule, in UTC
    """
    if start is None or end is None or start >= end:
        return None
    if run_type == "backfill":
        return Interval(start, end)
    if run_type != "manual" or run_after is None:
        return None
    following = croniter(cron, run_after.astimezone(UTC))
    following.get_next(datetime)
    last_end, last_start = following.get_prev(datetime), following.get_prev(datetime)
    return None if (start, end) == (last_start, last_end) else Interval(start, end)
