"""What the messages of a target name: its own DAGs, the migration of its database, and where its collection stands."""

import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget
from code_patterns.sync.targets_file import Target

TEAM = SyncTarget("team_b", migration="schema_migration__b")


@pytest.mark.parametrize(
    ("connections", "migration"),
    [({}, "schema_migration"), ({"postgres": "b.of-us"}, "schema_migration__b.of-us")],
)
def test_targets_of_one_database_share_its_migration(connections: dict[str, str], migration: str) -> None:
    entry = Target.model_validate({"name": "team_b", "collection": "b", "connections": connections})
    assert entry.sync_target == SyncTarget("team_b", migration=migration)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Run schema_migration first.", "Run schema_migration__b first."),
        ("Run pattern_sync_full, then pattern_verify.", "Run pattern_sync_full__team_b, then pattern_verify__team_b."),
        # Tables, Variables and what users have named so.
        ("pattern_sync_full_x, pattern_schema_migrations", "pattern_sync_full_x, pattern_schema_migrations"),
        ("'pattern_verify' and 'my-pattern_verify-2'", "'pattern_verify' and 'my-pattern_verify-2'"),
    ],
)
def test_a_text_names_the_dags_of_its_target(text: str, told: str) -> None:
    assert TEAM.told(text) == told
    assert TEAM.told(told) == told
    assert WITHOUT_NAME.told(text) == text


def test_only_a_target_without_a_name_has_the_variable() -> None:
    assert WITHOUT_NAME.setting == "the Variable 'patterns_collection'"
    assert TEAM.setting == "the key 'collection' of the target 'team_b' in the targets file"


def test_an_error_on_its_way_stays_the_same_one() -> None:
    error = ConfigurationError(Code.SCHEMA_INCOMPLETE, "Run schema_migration first.")
    with pytest.raises(ConfigurationError) as raised, TEAM.errors(), TEAM.errors():
        raise error
    assert raised.value is error
    assert str(error) == "Run schema_migration__b first. [PAT-P-005]"
