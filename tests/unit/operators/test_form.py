"""The form of a DAG allows what the task allows, and says what an empty Param means."""

from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError
from hypothesis import example, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.request import MigrationRequest
from code_patterns.operators.form import form
from code_patterns.params import choose
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.sync.sync_settings import SyncSettings

GIVEN: dict[type, dict[str, Any]] = {
    SyncSettings: {"mode": "full"},
    BackfillSettings: {},
    MigrationRequest: {"direction": "up", "target": None, "dry_run": True},
}
NUMBERS = [
    (SyncSettings, "batch_size"),
    (SyncSettings, "delay_seconds"),
    (SyncSettings, "limit"),
    (SyncSettings, "shards"),
    (BackfillSettings, "batch_size"),
    (BackfillSettings, "delay_seconds"),
    (BackfillSettings, "limit"),
    (BackfillSettings, "min_confidence"),
    (MigrationRequest, "target"),
]


def param(settings: type, name: str, **defaults: Any) -> Param:
    return form(settings, {name: "What it is"}, **defaults)[name]


def form_takes(shown: Param, value: Any) -> bool:
    try:
        shown.resolve(value)
    except ParamValidationError:
        return False
    return True


def task_takes(settings: type, name: str, value: Any) -> bool:
    given = {key: known for key, known in GIVEN[settings].items() if key != name}
    try:
        choose(settings, {name: value}, {}.get, given=given)
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize(("settings", "name"), NUMBERS)
@settings_of_hypothesis(max_examples=30)
@given(value=st.integers(-2, 2) | st.integers() | st.floats(0, 1))
@example(0)
@example(1)
@example(100)
@example(101)
@example(5_000)
@example(5_001)
@example(86_400)
@example(86_401)
@example(1_000_000_000)
@example(1_000_000_001)
def test_form_and_task_take_the_same_numbers(settings: type, name: str, value: float) -> None:
    assert form_takes(param(settings, name), value) == task_takes(settings, name, value)


@pytest.mark.parametrize("value", ["up", "down", "sideways", 1])
def test_form_and_task_take_the_same_words(value: Any) -> None:
    shown = param(MigrationRequest, "direction", direction="up")
    assert form_takes(shown, value) == task_takes(MigrationRequest, "direction", value)


def test_a_flag_starts_with_its_default() -> None:
    assert (param(SyncSettings, "dry_run").value, param(SyncSettings, "dry_run").schema) == (False, {"type": "boolean"})
    assert param(MigrationRequest, "dry_run", dry_run=True).value is True
    assert param(BackfillSettings, "only_missing", only_missing=None).schema == {"type": ["null", "boolean"]}


def test_any_other_param_starts_empty_and_says_what_that_means() -> None:
    shown = param(SyncSettings, "batch_size")
    assert shown.value is None
    assert form_takes(shown, None)
    assert shown.schema == {"type": ["null", "integer"], "minimum": 1, "maximum": 5_000}
    assert shown.description == "What it is; empty: Variable pattern_sync_batch_size, else 100"
    assert param(SyncSettings, "limit").description == "What it is"
    assert param(BackfillSettings, "collection").schema == {"type": ["null", "string"]}
