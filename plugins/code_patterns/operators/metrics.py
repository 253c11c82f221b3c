"""A sync's result as Airflow metrics."""

from airflow.sdk.observability import stats

from code_patterns.sync.stream_result import StreamResult
from code_patterns.sync.sync_result import Counts, SyncResult

OUTCOMES = tuple(name for name in Counts().as_dict() if name not in ("examined", "embedded_texts"))


def emit(result: SyncResult) -> None:
    """Send one run's metrics.

    ``code_patterns.sync.rows`` (counter, by ``outcome``), ``code_patterns.sync.embedded_texts`` (counter),
    ``code_patterns.sync.duration`` (timing, milliseconds), ``code_patterns.sync.embed`` and
    ``code_patterns.sync.upsert`` (timings, milliseconds that batches waited, added up),
    ``code_patterns.sync.dead_letters`` (gauge) and ``code_patterns.sync.lag_seconds`` (gauge: age of the oldest change
    that is left to the next run, 0 if there is none). All carry the tags ``collection`` and ``kind``.
    """
    tags = {"collection": result.collection, "kind": result.kind}
    for outcome in OUTCOMES:
        stats.incr("code_patterns.sync.rows", result.counts[outcome], tags={**tags, "outcome": outcome})
    stats.incr("code_patterns.sync.embedded_texts", result.counts["embedded_texts"], tags=tags)
    stats.timing("code_patterns.sync.duration", result.seconds * 1000, tags=tags)
    stats.timing("code_patterns.sync.embed", result.embed_seconds * 1000, tags=tags)
    stats.timing("code_patterns.sync.upsert", result.upsert_seconds * 1000, tags=tags)
    stats.gauge("code_patterns.sync.dead_letters", result.dead_letters, tags=tags)
    stats.gauge("code_patterns.sync.lag_seconds", result.lag_seconds, tags=tags)


def emit_stream(result: StreamResult) -> None:
    """Send the metrics of some seconds of a stream: those of a run, and its latency.

    ``code_patterns.stream.latency_p50`` and ``code_patterns.stream.latency_p99`` (gauges, seconds from a commit until
    the change could be found) carry the tag ``collection``.
    """
    emit(result)
    for name in ("latency_p50", "latency_p99"):
        if (seconds := getattr(result, name)) is not None:
            stats.gauge(f"code_patterns.stream.{name}", seconds, tags={"collection": result.collection})
