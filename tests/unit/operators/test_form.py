"""The form of a DAG allows what the task allows, and says what an empty Param means."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError
from hypothesis import example, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.files import read_migrations
from code_patterns.migrations.request import VERSIONS, MigrationRequest
from code_patterns.operators.dag_forms import BACKFILL, SYNC, migration_form
from code_patterns.operators.form import MOST_WITHOUT_SECTIONS, OPEN, Field, form
from code_patterns.params import choices_of, choose
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.sync.interval_params import IntervalParams
from code_patterns.sync.sync_settings import NEVER_WRITTEN, StreamSettings, SyncSettings
from pattern_learning.daily import DayParam

GIVEN: dict[type, dict[str, Any]] = {
    SyncSettings: {"mode": "full"},
    BackfillSettings: {},
    MigrationRequest: {"direction": "up", "target": None, "dry_run": True},
    IntervalParams: {},
    DayParam: {},
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
    return form([settings], {name: Field("Title", "What it is.")}, **defaults)[name]


once = cache(param)
"""The same Param for every example of a test; making one takes longer than asking it."""


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
    assert form_takes(once(settings, name), value) == task_takes(settings, name, value)


TIMES = ["2026-03-01T14:00:00Z", "2026-03-01T14:00Z", "2026-03-01T14:00:00.000Z", "2026-03-01T15:00:00+01:00"]
NO_TIMES = ["2026-03-01T14:00:00", "2026-03-01 14:00:00Z", "2026-03-01", "yesterday", "1772373600", 1772373600]
DAYS = ["2026-03-01", "0001-01-01"]
NO_DAYS = ["20260301", "2026-3-1", "2026-02-30", "2026-03-01T14:00:00Z", "yesterday", 20260301]


@pytest.mark.parametrize(
    ("settings", "name", "good", "bad"),
    [
        (MigrationRequest, "direction", ["up", "down"], ["sideways", "Up", 1]),
        (SyncSettings, "collection", ["code_patterns", "a b", ""], [*NEVER_WRITTEN, "a/b", 7]),
        (BackfillSettings, "collection", ["archon_vectors", "all", ""], ["a/b", 7]),
        (IntervalParams, "interval_start", TIMES, NO_TIMES),
        (IntervalParams, "interval_end", TIMES, NO_TIMES),
        (DayParam, "day", DAYS, NO_DAYS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_form_and_task_take_the_same_words(settings: type, name: str, good: list[Any], bad: list[Any]) -> None:
    defaults = {"direction": "up"} if name == "direction" else {}
    for value in [*good, *bad]:
        expected = value in good
        assert form_takes(param(settings, name, **defaults), value) is expected, value
        assert task_takes(settings, name, value) is expected, value


def test_a_target_is_a_version_that_exists() -> None:
    known = {migration.version: migration.forward.name for migration in read_migrations()}
    assert known == VERSIONS, "the form must list the files of include/migrations"
    shown = migration_form()["target"]
    assert shown.schema["enum"] == [None, 0, *known]
    assert set(shown.schema["values_display"]) == {"null", "0", *map(str, known)}
    assert [version for version in (None, 0, *known, 2, -1) if form_takes(shown, version)] == [None, 0, *known]


def test_a_flag_starts_with_its_default() -> None:
    assert (param(SyncSettings, "dry_run").value, param(SyncSettings, "dry_run").schema["type"]) == (False, "boolean")
    assert param(MigrationRequest, "dry_run", dry_run=True).value is True
    assert param(BackfillSettings, "only_missing", only_missing=None).schema["type"] == ["null", "boolean"]


def test_any_other_param_starts_empty_and_says_what_that_means() -> None:
    shown = param(SyncSettings, "batch_size")
    assert shown.value is None
    assert form_takes(shown, None)
    assert shown.schema == {
        "type": ["null", "integer"],
        "minimum": 1,
        "maximum": 5_000,
        "title": "Title",
        "section": OPEN,
    }
    assert shown.description == "What it is. Empty: Variable pattern_sync_batch_size, else 100."
    assert param(SyncSettings, "limit").description == "What it is."


def test_a_short_form_has_no_closed_section() -> None:
    fields = {name: Field("Title", "Text.", "Elsewhere") for name in ("dry_run", "limit", "shards", "batch_size")}
    assert len(fields) == MOST_WITHOUT_SECTIONS
    assert {shown.schema["section"] for shown in form([SyncSettings], fields).values()} == {OPEN}
    fields["rollback"] = fields["limit"]
    assert {shown.schema["section"] for shown in form([SyncSettings], fields).values()} == {"Elsewhere"}


def every_field() -> Iterator[tuple[str, Field]]:
    yield from SYNC.items()
    yield from BACKFILL.items()


@pytest.mark.parametrize(("name", "shown"), every_field())
def test_texts_are_sentences(name: str, shown: Field) -> None:
    assert name in choices_of(StreamSettings) | choices_of(BackfillSettings) | choices_of(IntervalParams)
    assert shown.title[0].isupper()
    assert shown.title != name
    assert shown.description.endswith(".")
