"""What a run did, as Airflow's metrics: StatsD or OpenTelemetry, whichever Airflow is configured for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from airflow.sdk.observability import stats

from code_patterns.errors import NothingToDoError, StoppedError
from code_patterns.sync.stream_result import StreamResult
from code_patterns.sync.sync_result import Counts, RunWork, SyncResult

EMBEDDED = ("embedded_texts", "embedded_characters")
OUTCOMES = tuple(name for name in Counts().as_dict() if name not in ("examined", *EMBEDDED))


@dataclass(slots=True)
class CountedRun:
    """What is known of a run that is to be counted.

    :param kind: the kind of run
    :param collection: the collection, as users write it; unknown while the settings are not read
    :param dry_run: whether it writes nothing, and does not count
    :param target: the name of its target; ``None`` for the one without a name
    """

    kind: str
    collection: str = "unknown"
    dry_run: bool = False
    target: str | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Whose run it is. Targets may have collections of the same name in Qdrants of their own."""
        return _tags(self.collection, self.target) | {"kind": self.kind}


@contextmanager
def counted(kind: str, target: str | None) -> Iterator[CountedRun]:
    """Count a run by the way it ends: ``code_patterns.sync.runs`` (counter, by ``outcome``).

    The outcomes are ``succeeded``, ``failed``, ``stopped`` (Airflow stopped the task) and ``skipped`` (there was
    nothing to do). Each try of a task counts. A process that is killed counts nothing.

    :param kind: the kind of run that is wanted
    :param target: the name of the target; ``None`` for the one without a name
    """
    run, outcome = CountedRun(kind, target=target), "failed"
    try:
        yield run
        outcome = "succeeded"
    except NothingToDoError:
        outcome = "skipped"
        raise
    except StoppedError:
        outcome = "stopped"
        raise
    finally:
        if not run.dry_run:
            stats.incr("code_patterns.sync.runs", tags={**run.tags, "outcome": outcome})


def emit_work(work: RunWork, target: str | None) -> None:
    """Send what a run did, also one that failed.

    ``code_patterns.sync.rows`` (counter, by ``outcome``), ``code_patterns.sync.embedded_texts`` and
    ``code_patterns.sync.embedded_characters`` (counters), ``code_patterns.sync.duration`` and, of each stage,
    ``code_patterns.sync.read``, ``embed``, ``upsert`` and ``prove`` (timings, milliseconds). All carry the tags
    ``collection`` and ``kind``, and ``target`` if that has a name.
    """
    tags = _tags(work.collection, target) | {"kind": work.kind}
    for outcome in OUTCOMES:
        stats.incr("code_patterns.sync.rows", work.counts[outcome], tags={**tags, "outcome": outcome})
    for name in EMBEDDED:
        stats.incr(f"code_patterns.sync.{name}", work.counts[name], tags=tags)
    stats.timing("code_patterns.sync.duration", work.seconds * 1000, tags=tags)
    for name, seconds in work.stages.items():
        stats.timing(f"code_patterns.sync.{name.removesuffix('_seconds')}", seconds * 1000, tags=tags)


def emit(result: SyncResult, target: str | None) -> None:
    """Send what a run did, and how far the collection is after it.

    Besides the metrics of :func:`emit_work`, these gauges: ``code_patterns.sync.dead_letters`` (rows that are parked),
    ``code_patterns.sync.lag_seconds`` and ``code_patterns.sync.behind`` (age of the oldest change that is left to the
    next run, and the number of rows), and ``code_patterns.sync.proof_age_seconds`` if there ever was a proof.
    """
    emit_work(result, target)
    tags = _tags(result.collection, target) | {"kind": result.kind}
    for name in ("dead_letters", "lag_seconds", "behind", "proof_age_seconds"):
        if (value := getattr(result, name)) is not None:
            stats.gauge(f"code_patterns.sync.{name}", value, tags=tags)


def emit_stream(result: StreamResult, target: str | None) -> None:
    """Send the metrics of some seconds of a stream: those of a run, and its latency.

    ``code_patterns.stream.latency_p50`` and ``code_patterns.stream.latency_p99`` (gauges, seconds from a commit until
    the change could be found) carry the tag ``collection``, and ``target`` if that has a name.
    """
    emit(result, target)
    for name in ("latency_p50", "latency_p99"):
        if (seconds := getattr(result, name)) is not None:
            stats.gauge(f"code_patterns.stream.{name}", seconds, tags=_tags(result.collection, target))


def _tags(collection: str, target: str | None) -> dict[str, str]:
    return {"collection": collection} | ({"target": target} if target else {})
