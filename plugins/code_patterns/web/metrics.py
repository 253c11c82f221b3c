"""The status as Prometheus reads it (text format 0.0.4)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_GAUGES = {
    "behind_changes": "Changes in PostgreSQL that the collection has not, counted up to 10,000.",
    "lag_seconds": "Age of the oldest of them; 0 when there is none.",
    "in_sync": "1 when nothing waits, 0 otherwise.",
    "dead_letters": "Rows that are parked.",
    "stream_up": "1 while a stream is up.",
    "last_incremental_timestamp_seconds": "End of the last successful incremental run.",
    "last_full_timestamp_seconds": "End of the last successful full run.",
    "parity_proven": "1 when the last run that compared both sides proved them equal.",
    "parity_proven_timestamp_seconds": "When both sides were last proven equal.",
    "qdrant_up": "1 when Qdrant answered.",
    "points": "Points of the collection.",
}


def exposition(status: Mapping[str, Any]) -> str:
    """Return the metrics.

    :param status: the answer of the route ``status``
    """
    sync, collection = status["sync"], status["collection"]
    values = {
        "behind_changes": sync["behind"],
        "lag_seconds": sync["lag_seconds"],
        "in_sync": sync["state"] == "in sync",
        "dead_letters": sync["dead_letters"],
        "stream_up": sync["stream_is_up"],
        "last_incremental_timestamp_seconds": sync["last_incremental_at"],
        "last_full_timestamp_seconds": sync["last_full_at"],
        "parity_proven": sync["parity"]["state"] == "proven",
        "parity_proven_timestamp_seconds": sync["parity"]["proven_at"],
        "qdrant_up": "error" not in collection,
        "points": collection.get("points"),
    }
    return "".join(_lines(str(collection["name"]), values))


def _lines(collection: str, values: Mapping[str, Any]) -> Iterator[str]:
    label = collection.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    for name, description in _GAUGES.items():
        value = values[name]
        # What is not known has no sample: 0 would be a wrong time, or an empty collection.
        if value is not None:
            number = value.timestamp() if isinstance(value, datetime) else float(value)
            yield f"# HELP code_patterns_{name} {description}\n# TYPE code_patterns_{name} gauge\n"
            yield f'code_patterns_{name}{{collection="{label}"}} {number:.15g}\n'
