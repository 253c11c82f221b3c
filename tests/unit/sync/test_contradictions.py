"""A run that could follow only some of its settings is refused, and the message names them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, NothingToDoError
from code_patterns.sync.diff import ALL_IDS
from code_patterns.sync.runs import kind_of
from code_patterns.sync.sync_settings import Interval, SyncSettings

HOUR = Interval(datetime(2026, 5, 1, 12, tzinfo=UTC), datetime(2026, 5, 1, 13, tzinfo=UTC))


@pytest.mark.parametrize(
    ("mode", "settings", "named"),
    [
        ("full", {"rollback": True, "limit": 2}, ("'rollback'", "'limit'")),
        ("full", {"take_over": True, "limit": 1}, ("'take_over'", "'limit'")),
        ("full", {"allow_mass_delete": True, "limit": 1}, ("'allow_mass_delete'", "'limit'")),
        ("full", {"retry_dead_letters": True, "limit": 1}, ("'retry_dead_letters'", "'limit'")),
        ("verify", {"heal": True, "limit": 1}, ("'heal'", "'limit'")),
        ("verify", {"heal": True, "dry_run": True}, ("'heal'", "'dry_run'")),
        (
            "incremental",
            {"retry_dead_letters": True, "interval": HOUR},
            ("'retry_dead_letters'", "'interval_start' and 'interval_end'"),
        ),
        ("full", {"interval": HOUR}, ("'full'", "'interval_start' and 'interval_end'")),
        ("verify", {"interval": HOUR}, ("'verify'", "'interval_start' and 'interval_end'")),
        ("full", {"heal": True}, ("'full'", "'heal'")),
        ("incremental", {"rollback": True}, ("'incremental'", "'rollback'")),
        ("verify", {"rollback": True}, ("'verify'", "'rollback'")),
        ("verify", {"retry_dead_letters": True}, ("'verify'", "'retry_dead_letters'")),
        ("full", {"id_range": ALL_IDS, "limit": 1}, ("'shard'", "'limit'")),
        ("full", {"id_range": ALL_IDS, "dry_run": True}, ("'shard'", "'dry_run'")),
    ],
)
def test_what_a_run_would_leave_out_is_refused_by_name(
    mode: str, settings: dict[str, Any], named: tuple[str, str]
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        kind_of(SyncSettings(mode, **settings))
    assert refused.value.code == Code.SETTING_WRONG
    assert all(name in refused.value.message for name in named)


@pytest.mark.parametrize(
    ("mode", "settings", "kind"),
    [
        ("full", {"rollback": True, "dry_run": True, "shards": 4, "allow_mass_delete": True}, "full"),
        ("full", {"take_over": True, "dry_run": True}, "full"),
        ("full", {"limit": 2, "dry_run": True, "shards": 4}, "full"),
        ("full", {"rollback": True, "take_over": True}, "full"),
        ("full", {"id_range": ALL_IDS, "allow_mass_delete": True}, "shard"),
        ("incremental", {"retry_dead_letters": True, "limit": 2, "dry_run": True}, "incremental"),
        ("incremental", {"interval": HOUR, "limit": 2, "dry_run": True, "allow_mass_delete": True}, "interval"),
        ("incremental", {"allow_mass_delete": True, "limit": 2}, "incremental"),
        ("verify", {"heal": True, "allow_mass_delete": True, "nights": 7}, "verify"),
        ("verify", {"allow_mass_delete": True}, "verify"),
    ],
)
def test_what_a_run_can_follow_is_taken(mode: str, settings: dict[str, Any], kind: str) -> None:
    assert kind_of(SyncSettings(mode, **settings)).name == kind


@pytest.mark.parametrize("settings", [{"limit": 1}, {"dry_run": True}])
def test_a_verification_that_nobody_asked_for_is_left_out(settings: dict[str, Any]) -> None:
    """As the last task of a full sync with these Params."""
    with pytest.raises(NothingToDoError):
        kind_of(SyncSettings("verify", **settings))
