"""The state of the sync as Prometheus reads it (text format 0.0.4).

All are gauges, also the sums over the last 24 hours: the history, which they are read from, forgets old runs, and a
counter must never become less.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "code_patterns_"

GAUGES = {
    "behind_changes": "Changes in PostgreSQL that the collection has not, counted up to 10,000.",
    "lag_seconds": "Age of the oldest of them; 0 when there is none.",
    "in_sync": "1 when nothing waits, 0 otherwise.",
    "full_sync_needed": "1 when only a run that compares everything can go on.",
    "dead_letters": "Rows that are parked.",
    "stream_up": "1 while a stream is up.",
    "last_incremental_timestamp_seconds": "End of the last successful incremental run.",
    "last_full_timestamp_seconds": "End of the last successful full run.",
    "parity_proven": "1 when the last run that compared both sides proved them equal.",
    "parity_broken": "1 when the last run that compared both sides found them unequal.",
    "parity_proven_timestamp_seconds": "When both sides were last proven equal.",
    "postgres_up": "1 when PostgreSQL told the state, 0 when it or a connection failed.",
    "qdrant_up": "1 when Qdrant answered.",
    "points": "Points of the collection; 0 when there is no collection.",
    "last_run_failed": "1 when the newest run of a kind that is over failed or was killed.",
    "last_run_timestamp_seconds": "End of the newest run of the last 24 hours, by kind and outcome.",
    "recent_runs": "Runs of the last 24 hours, by kind and outcome.",
    "recent_run_seconds": "Duration of the runs of the last 24 hours, added up.",
    "recent_stage_seconds": "Seconds of their stages; those of batches side by side are added up.",
    "recent_rows": "Rows of the runs of the last 24 hours, by what was done.",
    "recent_embedded_texts": "Distinct texts that they embedded.",
    "recent_embedded_characters": "Characters of these texts.",
    "stream_latency_seconds": "How soon that share of the changes of the newest stream could be found.",
}
"""Every metric, without prefix, and what it means."""

STAGES = ("read", "embed", "upsert", "prove")
ROWS = ("new", "changed", "words_only", "payload_only", "unchanged", "deleted", "parked")
OUTCOMES = ("succeeded", "failed", "stopped", "abandoned", "running")

Row = Mapping[str, Any]
Sample = tuple[str, Mapping[str, str], Any]
"""Name, labels and value of a metric."""


@dataclass(frozen=True)
class Look:
    """What was seen of a target.

    :param collection: as in the answer of the route ``status``; ``None`` if the connections cannot be read
    :param sync: likewise; ``None`` if PostgreSQL did not tell
    :param activity: the rows of ``web_metrics.sql``
    """

    collection: Mapping[str, Any] | None = None
    sync: Mapping[str, Any] | None = None
    activity: Sequence[Row] = ()


def exposition(looks: Mapping[str, Look]) -> str:
    """Return the metrics.

    :param looks: what was seen of each target, by its name; empty for the target without a name
    """
    families: dict[str, list[str]] = {}
    for target, look in looks.items():
        of_target = {"target": target} if target else {}
        if look.collection:
            of_target["collection"] = str(look.collection["name"])
        for name, labels, value in _samples(look):
            # What is not known has no sample: 0 would be a wrong time, or an empty collection.
            if value is not None:
                number = value.timestamp() if isinstance(value, datetime) else float(value)
                sample = f"{PREFIX}{name}{_labelled({**of_target, **labels})} {number:.15g}\n"
                families.setdefault(name, []).append(sample)
    return "".join(
        f"# HELP {PREFIX}{name} {GAUGES[name]}\n# TYPE {PREFIX}{name} gauge\n{''.join(samples)}"
        for name, samples in families.items()
    )


def _samples(look: Look) -> Iterator[Sample]:
    yield "postgres_up", {}, look.sync is not None
    if look.sync:
        yield from _state(look.sync)
    if look.collection:
        yield "qdrant_up", {}, "error" not in look.collection
        # Of a collection that is not there it is known that it has none.
        missing = look.collection.get("collection", "") is None
        yield "points", {}, 0 if missing else look.collection.get("points")
    yield from _recent(look.activity)
    yield from _latency(look.activity)


def _state(sync: Mapping[str, Any]) -> Iterator[Sample]:
    values = {
        "behind_changes": sync["behind"],
        "lag_seconds": sync["lag_seconds"],
        "in_sync": sync["state"] == "in sync",
        "full_sync_needed": sync["state"] in ("never synced", "full sync needed"),
        "dead_letters": sync["dead_letters"],
        "stream_up": sync["stream_is_up"],
        "last_incremental_timestamp_seconds": sync["last_incremental_at"],
        "last_full_timestamp_seconds": sync["last_full_at"],
        "parity_proven": sync["parity"]["state"] == "proven",
        "parity_broken": sync["parity"]["state"] == "broken",
        "parity_proven_timestamp_seconds": sync["parity"]["proven_at"],
    }
    for name, value in values.items():
        yield name, {}, value


def _recent(activity: Iterable[Row]) -> Iterator[Sample]:
    kinds: dict[str, dict[str, Row]] = {}
    for row in activity:
        kinds.setdefault(row["kind"], {})[row["status"]] = row
    for kind, by_outcome in kinds.items():
        of_kind = {"kind": kind}
        over = {name: row["last_at"] for name, row in by_outcome.items() if row["last_at"]}
        if over:
            yield "last_run_failed", of_kind, max(over, key=over.__getitem__) in ("failed", "abandoned")
        for outcome in OUTCOMES:
            of_outcome = {**of_kind, "outcome": outcome}
            # A series that begins at 1 has no increase that anybody sees.
            yield "recent_runs", of_outcome, by_outcome[outcome]["runs"] if outcome in by_outcome else 0
            yield "last_run_timestamp_seconds", of_outcome, over.get(outcome)

        rows = by_outcome.values()
        yield "recent_run_seconds", of_kind, _sum(rows, "seconds")
        for stage in STAGES:
            yield "recent_stage_seconds", {**of_kind, "stage": stage}, _sum(rows, f"{stage}_seconds")
        for name in ROWS:
            yield "recent_rows", {**of_kind, "outcome": name}, _sum(rows, name)
        for name in ("embedded_texts", "embedded_characters"):
            yield f"recent_{name}", of_kind, _sum(rows, name)


def _latency(activity: Iterable[Row]) -> Iterator[Sample]:
    measured = [row for row in activity if row["measured_at"]]
    if measured:
        newest = max(measured, key=lambda row: row["measured_at"])
        for share, name in (("0.5", "latency_p50"), ("0.99", "latency_p99")):
            yield "stream_latency_seconds", {"share": share}, newest[name]


def _sum(rows: Iterable[Row], name: str) -> float:
    return float(sum(row[name] for row in rows))


def _labelled(labels: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
