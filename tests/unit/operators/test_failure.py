"""What a person reads of a failure: short lines, in the order in which they are needed."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, NothingToDoError, OutageError, ParityError, PatternsError
from code_patterns.operators.failure import WIDTH, Failure
from code_patterns.operators.task_errors import task_errors
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

LONG = (
    "The database of connection 'patterns_postgres' (a-host-with-a-long-name.example.org:5432/patterns) lacks "
    "pattern_lineage_nodes. Run schema_migration first."
)


@pytest.mark.parametrize(
    ("error", "try_number", "tries"),
    [
        (ConfigurationError(Code.SCHEMA_INCOMPLETE, LONG), 1, "Try 1 failed for good: another one would end the same."),
        (OutageError(Code.POSTGRES_AWAY, LONG), 2, "Try 2 of 6 failed, another one follows."),
        (OutageError(Code.POSTGRES_AWAY, LONG), 6, "Try 6 of 6 failed, the last one."),
        (ParityError(Code.PROOF_INCOMPLETE, LONG), 1, "Try 1 of 2 failed, another one follows."),
        (ParityError(Code.PROOF_INCOMPLETE, LONG), 2, "Try 2 failed for good: another one would end the same."),
    ],
)
def test_it_says_what_is_wrong_then_what_to_do_then_which_try(
    error: PatternsError, try_number: int, tries: str
) -> None:
    failure = Failure.of(error, try_number, 5)
    lines = failure.lines()
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0].startswith("What is wrong: The database of connection")
    assert "What to do: Run schema_migration first." in lines
    assert lines[-2:] == [tries, f"More about it: {error.code} in docs/runbook.md."]
    assert " ".join(line.strip() for line in lines[:-1]).replace("What is wrong: ", "").replace("What to do: ", "") == (
        f"{LONG} {tries}"
    )
    assert failure.text().splitlines()[1:-1] == ["What to do: Run schema_migration first.", tries]


def test_how_often_the_task_itself_tried_is_no_remedy() -> None:
    tried = "Tried 12 times in 300 s at the start of the run."
    assert Failure.of(OutageError(Code.POSTGRES_AWAY, LONG, tried), 6, 5).text().splitlines()[1:-1] == [
        "What to do: Run schema_migration first.",
        tried,
        "Try 6 of 6 failed, the last one.",
    ]


@pytest.mark.parametrize(
    ("error", "raised", "ending"),
    [
        (
            ConfigurationError(Code.SCHEMA_INCOMPLETE, LONG),
            AirflowFailException,
            "migration first. [PAT-P-005]",
        ),
        (
            OutageError(Code.POSTGRES_AWAY, LONG),
            AirflowException,
            "first. Try 3 of 6 failed, another one follows. [PAT-P-001]",
        ),
    ],
)
def test_the_task_ends_with_it(
    error: PatternsError, raised: type[Exception], ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    pushed: dict[str, Any] = {}
    instance = SimpleNamespace(dag_id="a_dag", try_number=3, max_tries=5, xcom_push=pushed.__setitem__)
    context: Any = {"ti": instance}
    with pytest.raises(raised) as failed, task_errors(context):
        raise error
    assert type(failed.value) is raised
    assert str(failed.value).endswith(ending)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * len(caplog.records)
    assert [record.getMessage() for record in caplog.records][-1] == pushed["failure"].splitlines()[-1]
    assert failed.value.__notes__ == [pushed["failure"]]


@pytest.mark.parametrize(
    ("target", "migration", "full"),
    [
        # Any user's DAG may have such a name.
        (WITHOUT_NAME, "schema_migration", "pattern_sync_full"),
        (SyncTarget("team_b"), "schema_migration", "pattern_sync_full__team_b"),
        (
            SyncTarget("team_b", migration="schema_migration__b_postgres"),
            "schema_migration__b_postgres",
            "pattern_sync_full__team_b",
        ),
    ],
)
def test_the_target_and_not_the_dag_says_which_dags_are_meant(target: SyncTarget, migration: str, full: str) -> None:
    instance = SimpleNamespace(dag_id="analytics__report", try_number=1, max_tries=0, xcom_push=lambda *_: None)
    context: Any = {"ti": instance}
    with pytest.raises(AirflowFailException) as failed, task_errors(context, target):
        raise ConfigurationError(
            Code.SCHEMA_INCOMPLETE, "The tables are old. Run schema_migration, then pattern_sync_full."
        )
    assert str(failed.value) == f"The tables are old. Run {migration}, then {full}. [PAT-P-005]"
    assert failed.value.__notes__[0].splitlines()[1] == f"What to do: Run {migration}, then {full}."


def test_a_failure_that_cannot_be_stored_hides_no_error() -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no API server")

    context: Any = {"ti": SimpleNamespace(dag_id="a_dag", try_number=1, max_tries=0, xcom_push=refuse)}
    with pytest.raises(AirflowFailException, match="Run schema_migration first"), task_errors(context):
        raise ConfigurationError(Code.SCHEMA_INCOMPLETE, LONG)


def test_a_skipped_task_says_its_code() -> None:
    context: Any = {}
    with pytest.raises(AirflowSkipException, match=r"one is enough\. \[PAT-S-013\]"), task_errors(context):
        raise NothingToDoError("Another stream works; one is enough.")
