"""A Param beats the Variable, the Variable beats the default, and nonsense is refused by name."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_patterns.errors import ConfigurationError
from code_patterns.sync.diff import IdRange
from code_patterns.sync.sync_settings import Interval, SyncSettings, choose, interval_of

HOUR = timedelta(hours=1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_defaults() -> None:
    chosen = choose(SyncSettings, "full", {}, None, {}.get)
    assert (chosen.batch_size, chosen.delay_seconds, chosen.limit, chosen.dry_run) == (100, 0.0, None, False)
    assert (chosen.collection, chosen.max_delete_fraction, chosen.allow_mass_delete) == ("code_patterns", 0.2, False)


def test_param_beats_variable_beats_default() -> None:
    variables = {"pattern_sync_batch_size": "50", "pattern_sync_delay_seconds": "1.5", "patterns_collection": "other"}
    from_variables = choose(
        SyncSettings, "full", {"batch_size": None, "delay_seconds": "", "collection": "None"}, None, variables.get
    )
    assert (from_variables.batch_size, from_variables.delay_seconds, from_variables.collection) == (50, 1.5, "other")
    params = {"batch_size": 7, "delay_seconds": 0, "collection": "mine", "limit": "3", "dry_run": "True"}
    chosen = choose(SyncSettings, "full", params, None, variables.get)
    assert (chosen.batch_size, chosen.delay_seconds, chosen.collection) == (7, 0.0, "mine")
    assert (chosen.limit, chosen.dry_run) == (3, True)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("batch_size", "pattern_sync_batch_size"),
        ("delay_seconds", "pattern_sync_delay_seconds"),
    ],
)
@pytest.mark.parametrize("value", ["-1", "many", "nan", "inf", "0x10", "1,5", True])
def test_nonsense_names_its_place_and_value(name: str, variable: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as by_param:
        choose(SyncSettings, "full", {name: value}, None, {}.get)
    assert f"Param '{name}'" in str(by_param.value)
    assert repr(value) in str(by_param.value)
    with pytest.raises(ConfigurationError) as by_variable:
        choose(SyncSettings, "full", {}, None, {variable: value}.get)
    assert f"Variable '{variable}'" in str(by_variable.value)


@pytest.mark.parametrize(
    ("params", "variables", "said"),
    [
        (
            {},
            {"pattern_sync_batch_size": "nan"},
            "The Variable 'pattern_sync_batch_size' is 'nan'; it must be a whole number from 1 to 5000.",
        ),
        ({"limit": 0}, {}, "The Param 'limit' is 0; it must be a whole number from 1 to 1000000000."),
        ({"delay_seconds": -1}, {}, "The Param 'delay_seconds' is -1; it must be a number from 0 to 86400."),
        ({"dry_run": "no"}, {}, "The Param 'dry_run' is 'no'; it must be true or false."),
        (
            {},
            {"pattern_sync_max_delete_fraction": "20"},
            "The Variable 'pattern_sync_max_delete_fraction' is '20'; it "
            "must be a number above 0 and up to 1, such as 0.2.",
        ),
    ],
)
def test_one_sentence_says_what_is_allowed(params: dict[str, Any], variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose(SyncSettings, "full", params, None, variables.get)
    assert str(caught.value) == f"{said} [PAT-C-001]"
    assert caught.value.__context__ is None


def test_a_shard_comes_as_json() -> None:
    first, last = UUID(int=1), UUID(int=9)
    params = {"id_range": {"first": str(first), "last": str(last)}, "points_before": "7", "mode": "verify"}
    chosen = choose(SyncSettings, "full", params, None, {}.get)
    assert (chosen.id_range, chosen.points_before, chosen.mode) == (IdRange(first, last), 7, "full")


@given(st.text())
def test_any_text_is_a_number_or_refused(value: str) -> None:
    try:
        chosen = choose(SyncSettings, "full", {}, None, {"pattern_sync_batch_size": value}.get)
    except ConfigurationError:
        return
    assert chosen.batch_size >= 1


@pytest.mark.parametrize("name", ["execution_patterns", "archon_vectors", "quality_vectors", " ", "a/b"])
def test_collections_of_others_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="patterns_collection"):
        choose(SyncSettings, "full", {}, None, {"patterns_collection": name}.get)


@pytest.mark.parametrize(
    ("run_type", "end", "run_after", "expected"),
    [
        ("scheduled", NOON, NOON, False),
        ("backfill", NOON, NOON + 100 * HOUR, True),
        ("backfill", NOON, NOON, True),
        ("manual", NOON, NOON + timedelta(minutes=59), False),
        ("manual", NOON, NOON + 3 * HOUR, True),
        ("asset_triggered", NOON, NOON, False),
    ],
)
def test_which_runs_are_for_a_span_of_time(run_type: str, end: datetime, run_after: datetime, expected: bool) -> None:
    interval = interval_of(run_type, end - HOUR, end, run_after)
    assert interval == (Interval(end - HOUR, end) if expected else None)


def test_a_span_chosen_by_hand_counts_even_when_it_ends_just_now() -> None:
    chosen = interval_of("manual", NOON - 3 * HOUR, NOON, NOON + timedelta(minutes=22))
    assert chosen == Interval(NOON - 3 * HOUR, NOON)
    future = interval_of("manual", NOON, NOON + HOUR, NOON + timedelta(minutes=22))
    assert future == Interval(NOON, NOON + HOUR)


def test_a_run_without_interval_is_for_no_span() -> None:
    assert interval_of("manual", None, None, NOON) is None
    assert interval_of("backfill", NOON, NOON, NOON) is None


@pytest.mark.parametrize(
    ("cron", "start", "end"),
    [
        ("*/10 * * * *", NOON + timedelta(minutes=10), NOON + timedelta(minutes=20)),
        ("30 */6 * * *", NOON - timedelta(hours=11, minutes=30), NOON - timedelta(hours=5, minutes=30)),
    ],
)
def test_a_press_on_the_button_is_for_what_is_new_whatever_the_schedule_is(
    cron: str, start: datetime, end: datetime
) -> None:
    """Airflow's form fills in the last span of the schedule."""
    now = NOON + timedelta(minutes=22)
    assert interval_of("manual", start, end, now, cron) is None
    assert interval_of("manual", start - HOUR, end, now, cron) == Interval(start - HOUR, end)
    assert interval_of("manual", end - HOUR, end, end, cron) == Interval(end - HOUR, end)
