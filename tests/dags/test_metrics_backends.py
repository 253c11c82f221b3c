"""The metrics of real task runs arrive where Airflow sends them: StatsD, and OpenTelemetry."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

from code_patterns.operators.metrics import emit_stream
from code_patterns.sync.stream_result import StreamResult
from code_patterns.sync.sync_result import Counts, Waits
from tests.conftest import ROOT
from tests.dags.conftest import Outcome
from tests.support.connections import targets_file
from tests.support.metric_receivers import StatsdReceiver, otlp_receiver
from tests.support.two_sides import TwoSides, rows

STREAMED = StreamResult(
    run_id=None,
    kind="stream",
    collection="code_patterns",
    dry_run=False,
    counts=Counts(examined=3, new=3).as_dict(),
    seconds=10.0,
    stages=Waits().as_dict(),
    parity="not proven",
    dead_letters=0,
    lag_seconds=0.0,
    behind=0,
    proof_age_seconds=None,
    watermark_xid=None,
    latency_p50=0.25,
    latency_p99=0.75,
    ended="",
    comparison_needed=False,
)
TIMINGS = ("duration", "read", "embed", "upsert", "prove")
GAUGES = ("dead_letters", "lag_seconds", "behind", "proof_age_seconds")


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Configure Airflow's metrics by its settings, as its task runner does."""

    def configure(**environment: str) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)

    yield configure
    monkeypatch.undo()
    stats.initialize(factory=get_stats_factory(), export_legacy_names=False)


def work(sides: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that succeeds, one that fails at its start, and some seconds of a stream."""
    sides.insert(rows(4))
    sides.insert(rows(1, start=20, pattern_data='"unreadable"'))
    assert run_dag("pattern_sync_incremental").state == "success"
    monkeypatch.setenv("AIRFLOW_CONN_PATTERNS_EMBEDDINGS", '{"conn_type": "embedding", "extra": {"dimension": "many"}}')
    assert run_dag("pattern_sync_incremental").state == "failed"
    emit_stream(STREAMED, None)
    emit_stream(STREAMED, "team_a")


def test_statsd_gets_every_metric(
    connected: TwoSides,
    run_dag: Callable[..., Outcome],
    backend: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver = StatsdReceiver()
    backend(
        AIRFLOW__METRICS__STATSD_ON="True",
        AIRFLOW__METRICS__STATSD_HOST="127.0.0.1",
        AIRFLOW__METRICS__STATSD_PORT=str(receiver.port),
        AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED="True",
    )
    work(connected, run_dag, monkeypatch)
    found = dict(line.split(":", 1) for line in receiver.lines())
    receiver.close()
    latency = "airflow.code_patterns.stream.latency_p99,collection=code_patterns"
    assert (found[latency], found[f"{latency},target=team_a"]) == ("0.75|g", "0.75|g")
    tags = f"collection={connected.collection},kind=full"
    sync = "airflow.code_patterns.sync"
    assert found[f"{sync}.runs,{tags},outcome=succeeded"] == "1|c"
    assert found[f"{sync}.runs,collection={connected.collection},kind=incremental,outcome=failed"] == "1|c"
    assert found[f"{sync}.rows,{tags},outcome=new"] == "4|c"
    assert found[f"{sync}.embedded_texts,{tags}"] == "4|c"
    assert int(found[f"{sync}.embedded_characters,{tags}"].removesuffix("|c")) > 100
    for name in TIMINGS:
        assert float(found[f"{sync}.{name},{tags}"].removesuffix("|ms")) > 0
    for name in GAUGES:
        assert float(found[f"{sync}.{name},{tags}"].removesuffix("|g")) >= 0
    assert found[f"{sync}.dead_letters,{tags}"] == "1|g"


def test_the_metrics_of_a_target_carry_its_name(
    connected: TwoSides,
    metadata_database: None,
    backend: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another target's collection may have the same name, in a Qdrant of its own."""
    for name, value in targets_file(tmp_path, {"name": "team_a", "collection": f"{connected.collection}_a"}).items():
        monkeypatch.setenv(name, value)
    # The database of these tests knows only the DAGs without a name.
    sync_bag_to_db(DagBag(ROOT / "dags", bundle_path=ROOT / "dags"), "dags-folder", None)
    connected.insert(rows(4))
    receiver = StatsdReceiver()
    backend(
        AIRFLOW__METRICS__STATSD_ON="True",
        AIRFLOW__METRICS__STATSD_HOST="127.0.0.1",
        AIRFLOW__METRICS__STATSD_PORT=str(receiver.port),
        AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED="True",
    )
    assert str(DagBag(ROOT / "dags").dags["pattern_sync_incremental__team_a"].test().state) == "success"
    sent = [line for line in receiver.lines() if line.startswith("airflow.code_patterns.")]
    receiver.close()
    assert any(line.startswith("airflow.code_patterns.sync.dead_letters,") for line in sent)
    assert [line for line in sent if "target=team_a" not in line] == []


def test_opentelemetry_gets_every_metric(
    connected: TwoSides,
    run_dag: Callable[..., Outcome],
    backend: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from opentelemetry import metrics

    with otlp_receiver() as (address, received):
        backend(
            AIRFLOW__METRICS__OTEL_ON="True",
            OTEL_EXPORTER_OTLP_ENDPOINT=address,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            NO_PROXY="127.0.0.1",
        )
        work(connected, run_dag, monkeypatch)
        # The task process does both when it ends.
        provider: Any = metrics.get_meter_provider()
        provider.force_flush()
        provider.shutdown()
    found = {
        (metric.name, tuple(sorted((item.key, item.value.string_value) for item in point.attributes))): point
        for metric in received
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    }
    sync, of_run = "airflow.code_patterns.sync", (("collection", connected.collection), ("kind", "full"))

    def number(point: Any) -> float:
        return float(getattr(point, point.WhichOneof("value")))

    assert number(found[f"{sync}.runs", (*of_run, ("outcome", "succeeded"))]) == 1
    failed = (("collection", connected.collection), ("kind", "incremental"), ("outcome", "failed"))
    assert number(found[f"{sync}.runs", failed]) == 1
    assert number(found[f"{sync}.rows", (*of_run, ("outcome", "new"))]) == 4
    assert number(found[f"{sync}.embedded_characters", of_run]) > 100
    for name in TIMINGS:
        timing = found[f"{sync}.{name}", of_run]
        assert (timing.count, timing.sum > 0) == (1, True)
    for name in GAUGES:
        assert number(found[f"{sync}.{name}", of_run]) >= 0
    assert number(found["airflow.code_patterns.stream.latency_p99", (("collection", "code_patterns"),)]) == 0.75
