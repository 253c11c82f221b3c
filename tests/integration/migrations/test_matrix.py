"""Every starting state, up to every version and back again, one step after the other.

A state goes up version by version, and comes down the same way. At each version it has what ``schema.txt`` says, also
on the way back, and all that was there before is still there. So it does not matter where a run begins or ends.
"""

from typing import Any

import pytest

from code_patterns.migrations.runner import apply, verify
from code_patterns.schema import missing_facts
from tests.conftest import ROOT, config_of
from tests.integration.migrations.test_migrations import VERSIONS, facts, rows

DATABASES = ROOT / "tests" / "support" / "databases"
STATES = {
    "empty": (),
    "older release": ("../original_tables",),
    "lineage, empty": ("lineage_neighbour",),
    "lineage, rows": ("lineage_neighbour", "lineage_neighbour_rows"),
    "quality, rows": ("quality_neighbour", "quality_neighbour_rows"),
    "learning, rows": ("learning_neighbour", "learning_neighbour_rows"),
    "all at once": ("lineage_neighbour", "learning_neighbour", "lineage_neighbour_rows", "learning_neighbour_rows"),
}
KEY = (
    "constraint on pattern_quality_metrics: FOREIGN KEY (pattern_id) "
    "REFERENCES pattern_lineage_nodes(id) ON DELETE CASCADE"
)
CHANGED = {
    # Keys between our own tables get their rules, and a view without the documented columns another name.
    "older release": {
        "constraint on pattern_templates: FOREIGN KEY (parent_pattern_id) REFERENCES pattern_templates(id)",
        "constraint on pattern_usage_events: FOREIGN KEY (pattern_id) REFERENCES pattern_templates(id)",
    },
}


Contents = dict[str, list[dict[str, Any]]]


@pytest.mark.parametrize("state", STATES)
def test_from_every_state_to_every_version_and_back(empty_database: str, state: str) -> None:
    dsn = empty_database
    for file in STATES[state]:
        rows(dsn, (DATABASES / f"{file}.sql").read_text())
    start, theirs = facts(dsn), contents(dsn)
    config = config_of(dsn)

    at: dict[int, frozenset[str]] = {}
    for version in VERSIONS:
        assert apply(config, "up", version, "run").versions == (version,)
        assert verify(config).version == version
        at[version] = facts(dsn)
        assert lost(start, at[version], state) <= {KEY}, version
    assert lost(start, at[VERSIONS[-1]], state) == start & {KEY}

    # Scores without lineage forbid the way back, see test_013_does_not_come_back_over_orphans.
    rows(dsn, "DELETE FROM pattern_quality_metrics WHERE pattern_id NOT IN (SELECT id FROM pattern_lineage_nodes)")
    for version, before in reversed(list(zip(VERSIONS, [0, *VERSIONS[:-1]], strict=True))):
        assert apply(config, "down", before, "run").versions == (version,)
        assert verify(config).version == before
        if before:
            assert missing_facts(before, facts(dsn)) == {}
            assert at[before] - facts(dsn) == frozenset(), before
    assert lost(start, facts(dsn), state) == set()
    # Duplicates and wrong numbers of the older release are gone, see test_existing_data_is_kept_and_only_duplicates_go.
    assert state == "older release" or contents(dsn, theirs) == theirs

    assert apply(config, "up", None, "run").versions == tuple(VERSIONS)
    assert at[VERSIONS[-1]] - facts(dsn) <= {KEY}
    assert verify(config).version == VERSIONS[-1]


def lost(before: frozenset[str], now: frozenset[str], state: str) -> set[str]:
    """What was true before and is not now, but for what migrations say they replace."""
    gone = before - now - CHANGED.get(state, set())
    kept = {fact.replace("_of_before", "") for fact in now if "_of_before" in fact}
    return gone - kept


def contents(dsn: str, like: Contents | None = None) -> Contents:
    """The rows of every table that has some, in the columns that it had before."""
    tables = rows(
        dsn,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    found: Contents = {}
    for (table,) in tables:
        every = f"SELECT to_jsonb(entry) FROM {table} AS entry ORDER BY entry::text"
        entries = [entry for (entry,) in rows(dsn, every)]
        if like is not None:
            entries = [{name: entry[name] for name in like[table][0]} for entry in entries if like.get(table)]
        if entries:
            found[table] = entries
    return found
