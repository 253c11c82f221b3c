"""Both sync DAGs as real DAG runs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.dags.conftest import Outcome
from tests.support.two_sides import TwoSides, rows


def test_full_then_incremental(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(30))
    connected.settle()
    full = run_dag("pattern_sync_full")
    assert full.state == "success"
    assert (full.xcom["kind"], full.xcom["new"], full.xcom["parity"]) == ("full", 30, "proven")
    connected.insert(rows(4, start=50))
    connected.settle()
    hourly = run_dag("pattern_sync_incremental", batch_size=2)
    assert (hourly.state, hourly.xcom["kind"], hourly.xcom["new"]) == ("success", "incremental", 4)
    connected.assert_equal_sides()
    assert f"What the incremental sync of '{connected.collection}' did" in hourly.log
    assert connected.execute("SELECT DISTINCT dag_id FROM pattern_sync_runs ORDER BY 1") == [
        ("pattern_sync_full",),
        ("pattern_sync_incremental",),
    ]


def test_params_reach_the_run(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(20))
    planned = run_dag("pattern_sync_full", dry_run=True)
    assert (planned.xcom["new"], planned.xcom["dry_run"]) == (20, True)
    limited = run_dag("pattern_sync_full", limit=5)
    assert (limited.xcom["new"], limited.xcom["parity"]) == (5, "not proven")
    elsewhere = run_dag("pattern_sync_full", collection=f"{connected.collection}_two")
    assert (elsewhere.xcom["new"], elsewhere.xcom["collection"]) == (20, f"{connected.collection}_two")
    assert len(connected.points()) == 5


def test_a_run_by_hand_syncs_an_interval(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(20))
    connected.settle()
    run_dag("pattern_sync_full")
    watermark = "SELECT watermark_xid::text, watermark_id FROM pattern_sync_checkpoints"
    before = connected.execute(watermark)
    connected.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    first = datetime(2026, 3, 1, 14, 40, tzinfo=UTC)
    for minute, (row,) in enumerate(connected.execute("SELECT id FROM pattern_lineage_nodes")):
        moment = first + timedelta(minutes=minute)
        connected.execute(
            "UPDATE pattern_lineage_nodes SET created_at = %s, updated_at = %s WHERE id = %s", [moment, moment, row]
        )
    connected.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    # The last ten rows. The first end is given in a zone that is an hour ahead.
    interval = {"interval_start": "2026-03-01T15:50:00+01:00", "interval_end": "2026-03-01T15:00:00.000Z"}
    run = run_dag("pattern_sync_incremental", **interval)
    assert (run.state, run.xcom["kind"], run.xcom["examined"]) == ("success", "interval", 10)
    assert connected.execute(watermark) == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"interval_start": "2026-03-01T14:00:00Z"}, "'interval_start' is set, 'interval_end' is not"),
        (
            {"interval_start": "2026-03-01T14:00:00Z", "interval_end": "2026-03-01T13:00:00Z"},
            "which is not after 'interval_start'",
        ),
        ({"interval_start": "2026-03-01T14:00:00Z", "interval_end": "2100-01-01T00:00:00Z"}, "in the future"),
    ],
)
def test_what_is_no_interval_fails_before_anything_is_opened(
    connected: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, params: Any, message: str
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_PATTERNS_POSTGRES")
    assert message in run_dag("pattern_sync_incremental", **params).message


def test_xcom_holds_numbers_and_ids_only(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(3))
    xcom = run_dag("pattern_sync_full").xcom
    assert all(isinstance(value, int | float | str | None) for value in xcom.values())
    assert not any(isinstance(value, str) and len(value) > 60 for value in xcom.values())


def test_verify_follows_the_full_sync_and_runs_alone(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(12))
    full = run_dag("pattern_sync_full", task_id="verify")
    assert (full.state, full.xcom["kind"], full.xcom["parity"]) == ("success", "verify", "proven")
    alone = run_dag("pattern_verify", task_id="verify", heal=True)
    assert (alone.state, alone.xcom["examined"], alone.xcom["unchanged"]) == ("success", 12, 12)


def test_a_dry_run_skips_the_verification(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(3))
    outcome = run_dag("pattern_sync_full", task_id="verify", dry_run=True)
    assert (outcome.state, outcome.xcom) == ("success", None)


def test_metrics_say_what_the_history_says(
    connected: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.observability import stats

    sent: dict[tuple[str, str, str], float] = {}

    def receive(stat: str, value: float = 1, *args: object, tags: dict[str, str], **kwargs: object) -> None:
        sent[stat, tags["kind"], tags.get("outcome", "")] = value

    for kind in ("incr", "timing", "gauge"):
        monkeypatch.setattr(stats, kind, receive)
    connected.insert(rows(9))
    connected.insert(rows(2, start=20, pattern_data='"unreadable"'))
    run_dag("pattern_sync_full")
    counters = ("new", "changed", "words_only", "payload_only", "unchanged", "deleted", "parked")
    [history] = connected.execute(
        "SELECT created, changed, words_only, payload_only, unchanged, deleted, parked FROM pattern_sync_runs "
        "WHERE kind = 'full'"
    )
    assert history == (9, 0, 0, 0, 0, 0, 2)
    assert tuple(sent["code_patterns.sync.rows", "full", name] for name in counters) == history
    assert sent["code_patterns.sync.rows", "verify", "unchanged"] == 9
    assert sent["code_patterns.sync.dead_letters", "full", ""] == 2
    assert sent["code_patterns.sync.lag_seconds", "full", ""] >= 0
    assert all(
        sent[f"code_patterns.sync.{name}", "full", ""] > 0 for name in ("duration", "read", "embed", "upsert", "prove")
    )
    assert (
        sent["code_patterns.sync.runs", "full", "succeeded"]
        == sent["code_patterns.sync.runs", "verify", "succeeded"]
        == 1
    )
    assert sent["code_patterns.sync.proof_age_seconds", "verify", ""] >= 0
    assert sent["code_patterns.sync.upsert", "verify", ""] == 0
