"""The weekly maintenance, as Airflow runs it."""

from collections.abc import Callable

import pytest

from tests.dags.conftest import Outcome
from tests.support.two_sides import TwoSides, rows

OLD_RUN = "INSERT INTO pattern_sync_runs (name, collection, kind, started_at) VALUES ('n', 'old', 'full', '2001-01-01')"
TRACE = (
    "INSERT INTO pattern_learning_traces (recorded_at, node, operation, correlation_id, success, duration_ms) "
    "VALUES (now() - make_interval(days => %s), 'query', 'any', 'x', true, 1)"
)
NOTHING = {"runs": 0, "tombstones": 0, "checkpoints": 0, "parked": 0, "collections": 0, "dangling": 0}


def old_runs(sides: TwoSides) -> int:
    [(count,)] = sides.execute("SELECT count(*) FROM pattern_sync_runs WHERE collection = 'old'")
    return int(count)


def traces(sides: TwoSides) -> int:
    [(count,)] = sides.execute("SELECT count(*) FROM pattern_learning_traces")
    return int(count)


def test_what_is_old_goes_and_a_dry_run_only_counts_it(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(5))
    connected.sync("full")
    connected.execute(OLD_RUN)
    for days in (1, 89, 91, 400):
        connected.execute(TRACE, [days])

    dry = run_dag("pattern_maintenance", "prune", dry_run=True)
    assert (dry.state, dry.xcom) == ("success", {**NOTHING, "runs": 1, "deleted_collections": [], "dry_run": True})
    assert "1 runs would be deleted" in dry.log
    assert "2 traces older than 90 days would be deleted" in dry.log
    assert (old_runs(connected), traces(connected)) == (1, 4)

    outcome = run_dag("pattern_maintenance", "prune")
    assert (outcome.state, outcome.xcom) == (
        "success",
        {**NOTHING, "runs": 1, "deleted_collections": [], "dry_run": False},
    )
    assert "1 runs deleted" in outcome.log
    assert "2 traces older than 90 days deleted" in outcome.log
    assert (old_runs(connected), traces(connected)) == (0, 2)
    # What is young stays.
    assert connected.execute("SELECT kind FROM pattern_sync_runs") == [("full",)]
    connected.assert_equal_sides()


def test_zero_or_nothing_keeps_for_ever(
    connected: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected.execute(OLD_RUN)
    connected.execute(TRACE, [40_000])
    for value in ("0", ""):
        for kind in ("RUN", "TRACE"):
            monkeypatch.setenv(f"AIRFLOW_VAR_PATTERN_{kind}_RETENTION_DAYS", value)
        assert run_dag("pattern_maintenance", "prune").xcom["runs"] == 0
    assert (old_runs(connected), traces(connected)) == (1, 1)
    monkeypatch.setenv("AIRFLOW_VAR_PATTERN_TRACE_RETENTION_DAYS", "99999999999")
    assert run_dag("pattern_maintenance", "prune_traces").xcom == 1


@pytest.mark.parametrize(
    ("name", "value"), [("run", "-1"), ("tombstone", "soon"), ("collection", "1.5"), ("trace", "nan")]
)
def test_a_wrong_number_of_days_deletes_nothing_and_the_tables_are_looked_at_all_the_same(
    connected: TwoSides, run_dag: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    connected.execute(OLD_RUN)
    connected.execute(TRACE, [400])
    monkeypatch.setenv(f"AIRFLOW_VAR_PATTERN_{name.upper()}_RETENTION_DAYS", value)
    outcome = run_dag("pattern_maintenance", "tables")
    assert outcome.state == "failed"
    assert f"The Variable 'pattern_{name}_retention_days' is {value!r}; it must be a whole number of at least 0" in (
        outcome.message
    )
    assert outcome.xcom["findings"] == []
    assert (traces(connected) if name == "trace" else old_runs(connected)) == 1


def test_a_full_sync_deletes_nothing_old(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(5))
    connected.execute(OLD_RUN)
    assert run_dag("pattern_sync_full", "verify").xcom["parity"] == "proven"
    assert old_runs(connected) == 1


def test_the_report_names_the_statement_to_run(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.execute("DROP INDEX pattern_sync_runs_started_at_idx")
    outcome = run_dag("pattern_maintenance", "tables")
    assert outcome.state == "success"
    assert outcome.xcom["findings"] == [
        {
            "name": "pattern_sync_runs_started_at_idx",
            "problem": "the index of migration 015 is missing, or is another one",
            "remedy": "Run schema_migration with dry_run off: it makes the index again.",
        }
    ]
    assert "1 to look at\npattern_sync_runs_started_at_idx: the index of migration 015 is missing" in outcome.log
