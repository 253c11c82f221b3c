"""The forms of the DAGs: what each Param is called, what it does, and where it stands."""

from airflow.sdk import Param

from code_patterns.migrations.request import VERSIONS, MigrationRequest
from code_patterns.operators.form import Field, form
from code_patterns.quality.backfill_settings import ALL, COLLECTIONS, BackfillSettings
from code_patterns.sync.interval_params import IntervalParams
from code_patterns.sync.sync_settings import BackupSettings, RetentionSettings, StreamSettings, SyncSettings

INTERVAL = "Interval of the past"
COLLECTION = "Collection"
SPEED = "Speed"

SYNC = {
    "dry_run": Field("Dry run", "Count what would be done and write nothing."),
    "limit": Field("Limit", "Most rows to look at. Empty: all."),
    "retry_dead_letters": Field(
        "Retry dead letters", "Try all dead letters now, also those that still wait. Not with an interval."
    ),
    "heal": Field("Heal", "Write again what is found wrong, and delete points without a pattern."),
    "nights": Field(
        "Nights", "In how many nights every point is read whole once; the others are compared by digests. 1: all now."
    ),
    "interval_start": Field(
        "From", "Sync the rows created or updated from here on, instead of what is new. Empty: what is new.", INTERVAL
    ),
    "interval_end": Field("Until", "End of that interval, excluded; in the past. Set both or none of them.", INTERVAL),
    "collection": Field("Collection", "Alias or collection in Qdrant.", COLLECTION),
    "allow_mass_delete": Field(
        "Allow mass delete", "Let this run delete more than the allowed share of the points.", COLLECTION
    ),
    "take_over": Field(
        "Take over", "Make a collection that belongs to another database this one's. Not with a limit.", COLLECTION
    ),
    "rollback": Field(
        "Rollback", "Go back to the collection that was in use before a change of model. Not with a limit.", COLLECTION
    ),
    "batch_size": Field("Batch size", "Patterns embedded and written together.", SPEED),
    "delay_seconds": Field("Delay", "Seconds to pause between batches.", SPEED),
    "linger_seconds": Field("Linger", "Seconds without a change after which the stream ends."),
    "max_minutes": Field("Longest time", "Minutes after which the stream ends; the next one goes on."),
    "poll_milliseconds": Field("Poll", "Milliseconds between two looks for changes.", SPEED),
    "shards": Field("Shards", "Tasks that share the writing. 1: none. Empty: as many as the work needs.", SPEED),
}

BACKFILL = {
    "dry_run": Field("Dry run", "Score, but store nothing."),
    "collection": Field(
        "Collection",
        "Collection or alias in Qdrant, or all. Empty: archon_vectors; after a sync all.",
        proposals=(*COLLECTIONS, ALL),
    ),
    "only_missing": Field(
        "Only missing", "Only patterns that have no score of this version for their content. Always on after a sync."
    ),
    "min_confidence": Field("Least confidence", "Leave out points below this confidence, 0 to 1. Empty: 0."),
    "limit": Field("Limit", "Most points to read. Empty: all."),
    "onex_weight": Field(
        "Weight of ONEX",
        "Weight of ONEX compliance in the score, 0 to 1; the rest is shared. 0: it does not count.",
    ),
    "batch_size": Field("Batch size", "Points scored and stored together.", SPEED),
    "delay_seconds": Field("Delay", "Seconds to pause between batches.", SPEED),
}


def sync_form(*names: str) -> dict[str, Param]:
    """The form of a DAG that syncs or verifies.

    :param names: its Params, in order
    """
    return form([SyncSettings, IntervalParams], {name: SYNC[name] for name in names})


def maintenance_form() -> dict[str, Param]:
    """The form of the DAG that deletes what is old."""
    fields = {
        "dry_run": Field("Dry run", "Count what would be deleted, and delete nothing."),
        "collection": Field("Collection", "Alias or collection in Qdrant; old ones of this name are deleted."),
    }
    return form([RetentionSettings], fields)


def backup_form() -> dict[str, Param]:
    """The form of the DAG that backs up."""
    fields = {
        "collection": Field("Collection", "Alias or collection in Qdrant."),
        "keep": Field("Keep", "How many snapshots of this DAG stay, the new one included."),
    }
    return form([BackupSettings], fields)


def stream_form() -> dict[str, Param]:
    """The form of the DAG that streams."""
    names = ("linger_seconds", "max_minutes", "collection", "poll_milliseconds", "batch_size")
    return form([StreamSettings], {name: SYNC[name] for name in names})


def backfill_form() -> dict[str, Param]:
    """The form of the DAG that scores."""
    # What an empty one means depends on whether an asset triggered the run.
    return form([BackfillSettings], BACKFILL, only_missing=None)


def migration_form() -> dict[str, Param]:
    """The form of the DAG that migrates."""
    labels = {"null": "the newest", "0": "000: remove everything"} | {str(key): name for key, name in VERSIONS.items()}
    fields = {
        "dry_run": Field("Dry run", "Only show the plan and its SQL."),
        "direction": Field("Direction", "Forward or back.", labels={"up": "up: apply", "down": "down: roll back"}),
        "target": Field("Target", "Version to end at. Direction down needs it.", values=[0, *VERSIONS], labels=labels),
    }
    return form([MigrationRequest], fields, direction="up", dry_run=True)
