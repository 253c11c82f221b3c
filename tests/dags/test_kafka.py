"""The DAGs with the connection of Kafka, without it, and with a bad one."""

from collections.abc import Callable

import pytest

from tests.dags.conftest import Outcome
from tests.support.brokers import Broker
from tests.support.connections import set_connection
from tests.support.leaks import secret
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def topics(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """The topics of this test's own, by Variables."""
    monkeypatch.setenv("AIRFLOW_VAR_PATTERN_CREATED_TOPIC", broker.topic)
    monkeypatch.setenv("AIRFLOW_VAR_PATTERN_INDEXED_TOPIC", broker.indexed)
    return broker


def test_the_hourly_run_tells_kafka_what_it_has_done(
    connected: TwoSides, run_dag: Callable[..., Outcome], topics: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, "patterns_kafka", conn_type="kafka", extra=topics.extra())
    new = rows(3)
    connected.insert(new)
    connected.settle()
    outcome = run_dag("pattern_sync_incremental")
    assert outcome.state == "success"
    assert "Told Kafka about 3 points." in outcome.log
    assert {event["payload"]["node_id"] for event in topics.events(3)} == {str(row["id"]) for row in new}


def test_without_the_connection_there_is_no_word_of_kafka(
    connected: TwoSides, run_dag: Callable[..., Outcome], topics: Broker
) -> None:
    connected.insert(rows(3))
    connected.settle()
    outcome = run_dag("pattern_sync_incremental")
    assert outcome.state == "success"
    assert "afka" not in outcome.log
    assert connected.execute("SELECT is_called FROM pattern_sync_outbox_id_seq") == [(False,)]


def test_a_cluster_that_takes_no_login_fails_no_run_and_gets_no_secret_into_the_log(
    connected: TwoSides, run_dag: Callable[..., Outcome], topics: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "SCRAM-SHA-256", "sasl.username": "u"}
    extra = topics.extra(**login, **{"sasl.password": secret("kafka"), "reconnect.backoff.max.ms": 100})
    set_connection(monkeypatch, "patterns_kafka", conn_type="kafka", extra=extra)
    connected.insert(rows(2))
    connected.settle()
    outcome = run_dag("pattern_sync_incremental")
    assert outcome.state == "success"
    assert "is not told about 2 points" in outcome.log


@pytest.mark.parametrize("variable", ["pattern_created_topic", "pattern_indexed_topic"])
def test_a_senseless_topic_is_told_before_anything_is_touched(
    connected: TwoSides,
    run_dag: Callable[..., Outcome],
    topics: Broker,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    set_connection(monkeypatch, "patterns_kafka", conn_type="kafka", extra=topics.extra())
    monkeypatch.setenv(f"AIRFLOW_VAR_{variable.upper()}", "a/b")
    outcome = run_dag("pattern_sync_incremental")
    assert outcome.state == "failed"
    assert f"The Variable '{variable}' is 'a/b'; it must be the name of a Kafka topic" in outcome.message
    assert connected.execute("SELECT count(*) FROM pattern_sync_runs") == [(0,)]


@pytest.mark.parametrize("dag_id", ["pattern_sync_incremental", "pattern_sync_stream"])
def test_a_senseless_extra_is_told_before_anything_is_touched(
    connected: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, dag_id: str
) -> None:
    extra = {"bootstrap.server": "x:9092", "sasl.password": secret("kafka")}
    set_connection(monkeypatch, "patterns_kafka", conn_type="kafka", extra=extra)
    outcome = run_dag(dag_id, "stream" if dag_id == "pattern_sync_stream" else "sync")
    assert outcome.state == "failed"
    assert "Connection 'patterns_kafka' names no broker" in outcome.message
    assert connected.execute("SELECT count(*) FROM pattern_sync_runs") == [(0,)]
