"""The daily analytics and the storage layer's operator as real DAG runs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, ParamValidationError

from code_patterns.errors import OutageError
from code_patterns.servers.patience import patiently
from pattern_learning.arguments import Period
from pattern_learning.operators.operation import PatternLearningOperator
from tests.conftest import config_of
from tests.dags.conftest import Outcome, parsed
from tests.support import postgres_proxy
from tests.support.connections import set_postgres
from tests.support.learning_database import Layer, LearningDatabase, template

DAY = datetime(2026, 3, 2, tzinfo=UTC)
NUMBERS = (
    "period_start, period_end, pattern_id, total_usage_count, success_count, failure_count, average_execution_time_ms, "
    "average_quality_improvement, top_patterns, trend_direction, trend_strength"
)


@pytest.fixture
def connected_learning(learning: LearningDatabase, monkeypatch: pytest.MonkeyPatch) -> LearningDatabase:
    """The storage layer's database as the Airflow connection."""
    config = config_of(learning.dsn)
    set_postgres(monkeypatch, config)
    return learning


def fill(learning: LearningDatabase, start: datetime = DAY) -> list[str]:
    """Templates and three days of events: the first and the last day, and one that only the first day used."""

    async def work(layer: Layer) -> list[str]:
        batch = [template(f"t{number}", is_deprecated=number == 3) for number in range(6)]
        ids = list((await layer.do("batch_insert", patterns=batch))["pattern_ids"])
        for day in range(3):
            for number, pattern in enumerate(ids[:4] if day < 1 else ids[:3]):
                for use in range(1 + (number * 3 + day * 2) % 5):
                    usage: dict[str, Any] = {"used_at": start + timedelta(days=day, hours=5 * use)}
                    usage |= {"success": [True, False, None][use % 3], "execution_time_ms": 8 * use}
                    if use % 2 == 0:
                        usage |= {"quality_before": 0.5, "quality_after": 0.25 * number}
                    await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        return ids

    return list(learning.use(work))


def analytics(learning: LearningDatabase) -> list[dict[str, Any]]:
    return learning.rows(f"SELECT {NUMBERS} FROM pattern_analytics ORDER BY period_start, pattern_id NULLS FIRST")


def run_day(day: datetime) -> Any:
    """Run the DAG as the scheduler or a backfill does for a day: its data interval is that day."""
    return parsed("pattern_analytics").test(logical_date=day + timedelta(days=1))


def test_each_day_of_a_backfill_is_what_the_node_computes(
    metadata_database: None, connected_learning: LearningDatabase, run_dag: Callable[..., Outcome]
) -> None:
    ids = fill(connected_learning)
    for day in (2, 0, 1):
        run = run_day(DAY + timedelta(days=day))
        assert run.state == "success"
        assert run.data_interval_start == DAY + timedelta(days=day)
    by_dag = analytics(connected_learning)
    # Four templates were used on the first day, one of them deprecated, and three on each of the others.
    assert [sum(row["period_start"] == DAY + timedelta(days=day) for row in by_dag) for day in range(3)] == [5, 4, 4]
    for _ in range(2):
        run_day(DAY)
    assert analytics(connected_learning) == by_dag

    connected_learning.rows("TRUNCATE pattern_analytics")

    async def one_by_one(layer: Layer) -> None:
        for day in range(3):
            period = {"period_start": DAY + timedelta(days=day), "period_end": DAY + timedelta(days=day + 1)}
            for pattern in [None, *(ids[:4] if day == 0 else ids[:3])]:
                await layer.do("compute_analytics", pattern_id=pattern, **period)

    connected_learning.use(one_by_one)
    assert analytics(connected_learning) == by_dag


def test_late_and_deleted_events_are_made_good_by_a_re_run(
    metadata_database: None, connected_learning: LearningDatabase, run_dag: Callable[..., Outcome]
) -> None:
    ids = fill(connected_learning)
    first = run_dag("pattern_analytics", "compute", day="2026-03-02")
    assert first.state == "success"
    assert (first.xcom["period_start"], first.xcom["pattern_rows"]) == (DAY.isoformat(), 4)
    connected_learning.rows("DELETE FROM pattern_usage_events WHERE pattern_id = %s", UUID(ids[0]))

    async def late(layer: Layer) -> None:
        await layer.do("record_usage", pattern_id=ids[5], usage_data={"used_at": DAY})

    connected_learning.use(late)
    second = run_dag("pattern_analytics", "compute", day="2026-03-02")
    assert second.xcom["analytics_id"] == first.xcom["analytics_id"]
    assert second.xcom["pattern_rows"] == 5
    found = {str(row["pattern_id"]): row for row in analytics(connected_learning)}
    emptied = found[ids[0]]
    assert (emptied["total_usage_count"], emptied["top_patterns"], emptied["trend_direction"]) == (0, [], "stable")
    assert emptied["average_quality_improvement"] is None
    assert (found[ids[5]]["total_usage_count"], found[ids[5]]["trend_direction"]) == (1, "increasing")
    assert found["None"]["total_usage_count"] == second.xcom["total_usage_count"]


def test_without_a_day_it_is_yesterday(connected_learning: LearningDatabase, run_dag: Callable[..., Outcome]) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    fill(connected_learning, start=today - timedelta(days=1))
    outcome = run_dag("pattern_analytics", "compute")
    assert outcome.xcom["period_end"] in (today.isoformat(), (today + timedelta(days=1)).isoformat())
    assert outcome.xcom["total_usage_count"] > 0


def test_a_day_that_is_not_over(connected_learning: LearningDatabase, run_dag: Callable[..., Outcome]) -> None:
    outcome = run_dag("pattern_analytics", "compute", day="2999-01-01")
    assert outcome.state == "failed"
    assert "The Param 'day' is '2999-01-01'" in outcome.message
    assert "not over" in outcome.message


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30"])
def test_no_day_at_all_starts_no_run(run_dag: Callable[..., Outcome], day: str) -> None:
    with pytest.raises(ParamValidationError, match="is not a 'date'"):
        run_dag("pattern_analytics", "compute", day=day)


def test_a_database_that_is_not_ready(
    connected_learning: LearningDatabase,
    empty_database: str,
    run_dag: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_of(empty_database)
    set_postgres(monkeypatch, config)
    outcome = run_dag("pattern_analytics", "compute")
    assert outcome.state == "failed"
    assert "Run schema_migration first" in outcome.message
    set_postgres(monkeypatch, config, schema="nowhere")
    assert '"nowhere" does not exist' in run_dag("pattern_analytics", "compute").message


# --- any operation


def task(operation: str, **arguments: Any) -> PatternLearningOperator:
    with DAG("any_dag", schedule=None, render_template_as_native_obj=True):
        return PatternLearningOperator(task_id="any_task", operation=operation, arguments=arguments)


def test_the_operator_runs_any_operation_with_templated_arguments(connected_learning: LearningDatabase) -> None:
    with DAG("any_dag", schedule=None, render_template_as_native_obj=True) as dag:
        operator = PatternLearningOperator(
            task_id="any_task",
            operation="{{ params.what }}",
            arguments={
                "data": {"pattern_name": "{{ params.name }}", "pattern_type": "code", "confidence_score": "{{ 0.25 }}"}
            },
        )
    operator.render_template_fields({"params": {"what": "insert", "name": "from a DAG"}}, dag.get_template_env())
    stored = operator.execute({})
    assert stored["pattern_name"] == "from a DAG"
    pattern = stored["pattern_id"]
    found = task("get_by_id", pattern_id=pattern).execute({})
    # XCom takes JSON: ids and times are text.
    assert (found["id"], found["confidence_score"]) == (pattern, 0.25)
    assert datetime.fromisoformat(found["discovered_at"]).tzinfo is not None
    request = str(uuid4())
    used = task("record_usage", pattern_id=pattern, usage_data={"success": True}, correlation_id=request).execute({})
    assert used["pattern_id"] == pattern
    period = {"period_start": "2020-01-01", "period_end": "2999-01-01", "aggregate_by": "month"}
    assert task("compute_analytics", **{**period, "aggregate_by": "day"}).execute({})["total_usage_count"] == 1
    assert [row["id"] for row in task("search", search_query="from a").execute({})] == [pattern]
    traced = connected_learning.rows("SELECT operation, actor, correlation_id FROM pattern_learning_traces ORDER BY id")
    assert [row["operation"] for row in traced] == [
        "insert",
        "get_by_id",
        "record_usage",
        "compute_analytics",
        "search",
    ]
    assert {row["actor"] for row in traced} == {"any_dag.any_task"}
    assert traced[2]["correlation_id"] == request


def test_the_operator_fails_at_once_for_mistakes_and_tries_again_for_outages(
    connected_learning: LearningDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    for operation, arguments, words in (
        ("fly", {}, "operation is 'fly'"),
        (
            "insert",
            {"data": {"pattern_name": "x"}},
            "insert on connection 'patterns_postgres'.*data lacks pattern_type",
        ),
        ("insert", {"datum": {}}, "arguments has the unknown field 'datum'"),
        ("get_by_id", {"pattern_id": "{{ nothing }}"}, "pattern_id"),
    ):
        with pytest.raises(AirflowFailException, match=words):
            task(operation, **arguments).execute({})

    import psycopg

    from pattern_learning import jobs

    monkeypatch.setattr(jobs, "OPERATION_TIMEOUT_SECONDS", 0.3)
    with psycopg.connect(connected_learning.dsn) as other:
        other.execute("LOCK TABLE pattern_templates IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(AirflowException, match="command_timeout") as caught:
            task("insert", data=template()).execute({})
    assert not isinstance(caught.value, AirflowFailException)


def test_a_server_that_is_down_at_first_is_waited_for(
    learning: LearningDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pattern_learning.daily import Retention
    from pattern_learning.jobs import compute_period, prune_traces

    monkeypatch.setattr(patiently, "__defaults__", (0.05,))
    fill(learning)
    config = config_of(learning.dsn)
    period = Period(DAY, DAY + timedelta(days=1))
    with postgres_proxy.before(replace(config, host="127.0.0.1", port=1)) as proxy:
        reached = replace(config, host="127.0.0.1", port=proxy.port)

        async def pruned(patience: float) -> int:
            return await prune_traces(reached, Retention(patience_seconds=patience))

        for work in (partial(compute_period, reached, period), pruned):
            caplog.clear()
            proxy.server = replace(config, host="127.0.0.1", port=1)
            with pytest.raises(OutageError, match="Tried once at the start of the run"):
                asyncio.run(work(patience=0))

            async def until_it_is_up(work: Callable[..., Any] = work) -> None:
                waiting = asyncio.create_task(work(patience=60))
                while "Try 2 follows" not in caplog.text:
                    await asyncio.sleep(0.01)
                proxy.server = config
                await waiting

            asyncio.run(until_it_is_up())
    assert len(analytics(learning)) == 5


def test_two_computations_of_one_day_at_the_same_moment(learning: LearningDatabase) -> None:
    from pattern_learning.jobs import compute_period

    fill(learning)
    config = config_of(learning.dsn)

    async def main() -> None:
        period = Period(DAY, DAY + timedelta(days=1))
        done = await asyncio.gather(*(compute_period(config, period) for _ in range(6)))
        assert len({each.analytics_id for each in done}) == 1

    asyncio.run(main())
    assert len(analytics(learning)) == 5
