"""The DAG of the stream, and the comparison that it starts."""

from collections.abc import Callable

import pytest

from code_patterns.codes import Code
from tests.dags.conftest import Outcome
from tests.support.running_stream import eventually, running_stream
from tests.support.two_sides import TwoSides, rows

LINGER = {"linger_seconds": 0.5, "poll_milliseconds": 50}


def task_states(dag_id: str) -> dict[str, str]:
    """The states of the tasks of a DAG's newest run."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1)).one()
        return {instance.task_id: str(instance.state) for instance in run.task_instances}


def runs_of(dag_id: str) -> dict[str, str | None]:
    """The notes of a DAG's runs."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return {run.run_id: run.note for run in session.scalars(select(DagRun).where(DagRun.dag_id == dag_id))}


def test_a_quiet_stream_ends_well_and_starts_nothing(connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(5))
    connected.settle()
    connected.sync("full")
    connected.insert(rows(2, 10))
    before = runs_of("pattern_sync_full")
    outcome = run_dag("pattern_sync_stream", "stream", **LINGER)
    assert outcome.state == "success"
    assert (outcome.xcom["kind"], outcome.xcom["new"]) == ("stream", 2)
    assert (outcome.xcom["ended"], outcome.xcom["comparison_needed"]) == ("nothing has changed for 0 s", False)
    assert task_states("pattern_sync_stream") == {"stream": "success", "compare": "skipped"}
    assert runs_of("pattern_sync_full") == before
    assert connected.execute("SELECT dag_id, status FROM pattern_sync_runs WHERE kind = 'stream'") == [
        ("pattern_sync_stream", "succeeded")
    ]
    connected.assert_equal_sides()


def test_a_surprise_ends_it_and_starts_a_full_sync_with_the_reason(
    connected: TwoSides, run_dag: Callable[..., Outcome]
) -> None:
    connected.insert(rows(5))
    connected.settle()
    connected.sync("full")
    connected.execute("UPDATE pattern_sync_checkpoints SET progress = '999-x', pending_progress = '999-x'")
    before = runs_of("pattern_sync_full")
    outcome = run_dag("pattern_sync_stream", "stream", **LINGER)
    assert outcome.state == "success"
    assert outcome.xcom["comparison_needed"]
    assert task_states("pattern_sync_stream") == {"stream": "success", "compare": "success"}
    [note] = (note for run_id, note in runs_of("pattern_sync_full").items() if run_id not in before)
    assert note == f"A stream ended: {outcome.xcom['ended']}"
    assert "the Qdrant collection is older" in str(note)


@pytest.mark.remedy(Code.NOTHING_TO_DO)
def test_a_second_stream_is_skipped(served: TwoSides, connected: TwoSides, run_dag: Callable[..., Outcome]) -> None:
    connected.insert(rows(1))
    connected.sync("full")
    with running_stream(connected):
        eventually(lambda: connected.execute("SELECT * FROM pattern_sync_runs WHERE kind = 'stream'"))
        run_dag("pattern_sync_stream", "stream", **LINGER)
        assert task_states("pattern_sync_stream") == {"stream": "skipped", "compare": "skipped"}


@pytest.mark.parametrize("param", [{"linger_seconds": -1}, {"max_minutes": 0}, {"poll_milliseconds": 10}])
def test_a_senseless_param_is_refused(
    connected: TwoSides, run_dag: Callable[..., Outcome], param: dict[str, float]
) -> None:
    with pytest.raises(Exception, match=next(iter(param))):
        run_dag("pattern_sync_stream", "stream", **param)
