"""What a backfill's Params, Variables and kind of run add up to."""

from typing import Any

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.quality.backfill_settings import COLLECTIONS, choose


def test_defaults_of_a_run_by_hand() -> None:
    chosen = choose({}, "manual", {}.get)
    assert (chosen.collections, chosen.only_existing) == (("archon_vectors",), False)
    assert (chosen.limit, chosen.min_confidence, chosen.batch_size, chosen.delay_seconds) == (None, 0.0, 100, 0.5)
    assert (chosen.dry_run, chosen.only_missing, chosen.onex_weight) == (False, False, 0.2)


def test_a_run_woken_by_a_sync_takes_everything_that_has_no_score() -> None:
    chosen = choose({"collection": None, "only_missing": "None"}, "asset_triggered", {}.get)
    assert (chosen.collections, chosen.only_existing, chosen.only_missing) == (COLLECTIONS, True, True)
    named = choose({"collection": "mine", "only_missing": False}, "asset_triggered", {}.get)
    assert (named.collections, named.only_existing, named.only_missing) == (("mine",), False, False)


def test_all_includes_what_the_sync_writes() -> None:
    chosen = choose({"collection": "all"}, "manual", {"patterns_collection": "elsewhere"}.get)
    assert (chosen.collections, chosen.only_existing) == ((*COLLECTIONS, "elsewhere"), True)
    same = choose({"collection": "all"}, "manual", {"patterns_collection": "code_patterns"}.get)
    assert same.collections == COLLECTIONS


def test_param_beats_variable() -> None:
    variables = {
        "quality_backfill_batch_size": "7",
        "quality_backfill_delay_seconds": "0",
        "quality_onex_weight": "0.123456",
    }
    from_variables = choose({"batch_size": "", "delay_seconds": None}, "manual", variables.get)
    assert (from_variables.batch_size, from_variables.delay_seconds, from_variables.onex_weight) == (7, 0.0, 0.1235)
    params = {
        "batch_size": 9,
        "delay_seconds": 2,
        "limit": "5",
        "min_confidence": "0.4",
        "dry_run": True,
        "onex_weight": 0,
    }
    chosen = choose(params, "manual", variables.get)
    assert (chosen.batch_size, chosen.delay_seconds, chosen.limit) == (9, 2.0, 5)
    assert (chosen.min_confidence, chosen.dry_run, chosen.onex_weight) == (0.4, True, 0.0)


@pytest.mark.parametrize(
    ("params", "variables", "words"),
    [
        ({"batch_size": 0}, {}, "Param 'batch_size' is 0"),
        ({"limit": -1}, {}, "Param 'limit' is -1"),
        ({"min_confidence": 1.5}, {}, "Param 'min_confidence' is 1.5"),
        ({"min_confidence": "nan"}, {}, "Param 'min_confidence' is 'nan'"),
        ({"min_confidence": True}, {}, "Param 'min_confidence' is True"),
        ({"collection": 7}, {}, "Param 'collection' is 7"),
        ({"collection": "a/b"}, {}, "Param 'collection' is 'a/b'"),
        ({"only_missing": "perhaps"}, {}, "Param 'only_missing' is 'perhaps'"),
        ({"onex_weight": 1.1}, {}, "Param 'onex_weight' is 1.1; it must be a number from 0 to 1."),
        ({"onex_weight": "nan"}, {}, "Param 'onex_weight' is 'nan'"),
        ({}, {"quality_onex_weight": "-0.1"}, "Variable 'quality_onex_weight' is '-0.1'"),
        ({}, {"quality_backfill_batch_size": "many"}, "Variable 'quality_backfill_batch_size' is 'many'"),
        ({}, {"quality_backfill_delay_seconds": "-1"}, "Variable 'quality_backfill_delay_seconds' is '-1'"),
    ],
)
def test_nonsense_names_its_place_and_value(params: dict[str, Any], variables: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        choose(params, "manual", variables.get)
    assert words in str(raised.value)
