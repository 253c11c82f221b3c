"""Check whether every change of the patterns is recorded: the table, its triggers and its partitions."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.schema import expected_facts

TABLE = "pattern_lineage_nodes"
_NO_TABLES = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
_RECORDING = re.compile(rf"trigger .* zz_pattern_sync_\w+ .* ON {TABLE} |function pattern_sync_")
_NAME = re.compile(r"(?:trigger .*?TRIGGER|function) (\w+)")
_NEWEST = 999

_MIGRATE = "Run schema_migration with dry_run off: it makes the triggers again."
_EARLIER = "Let it fire before them, by another name:"
_LOGGED = f"Make the table crash-safe: ALTER TABLE {TABLE} SET LOGGED;"
_ONE_TABLE = f"Move the rows of the child tables into {TABLE}, or make it a partitioned table."
_NO_FOREIGN = "Detach the foreign partitions, or copy their rows into partitions of this database."


@dataclass(frozen=True)
class Capture:
    """What the triggers see of the patterns.

    :param identity: a digest of the table, its partitions and triggers; any change of them changes it
    :param problems: why some changes are not recorded; empty if all are
    :param remedies: what to do, in sentences
    """

    identity: str
    problems: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every change is recorded."""
        return not self.problems

    @property
    def warning(self) -> str:
        """The problems, what happens meanwhile, and the remedies."""
        return (
            f"Not every change of {TABLE} is recorded: {'; '.join(self.problems)}. Until that is mended, every "
            f"incremental run compares everything. {' '.join(self.remedies)}"
        )


def judge(
    kind: str,
    unlogged: bool,
    facts: Collection[str],
    children: Sequence[str],
    bare_partitions: Sequence[str],
    foreign_partitions: Sequence[str],
    late_triggers: Sequence[str],
    renames: Sequence[str],
    identity: str,
) -> Capture:
    """Judge what ``sync_capture.sql`` found.

    :param kind: ``pg_class.relkind`` of the table's name
    :param unlogged: whether a crash empties it or one of its partitions
    :param facts: its triggers and their functions, as facts of the schema
    :param children: tables that inherit from it and are not partitions
    :param bare_partitions: partitions whose own triggers are missing or disabled
    :param foreign_partitions: partitions on another server
    :param late_triggers: triggers of others that may change a row after it was compared, each with its table
    :param renames: statements that let these fire before
    :param identity: a digest of all of it
    :raises ConfigurationError: it is not a table
    """
    refuse_other_than_table(kind)
    found: list[tuple[str, str]] = [(flaw, _MIGRATE) for flaw in _flaws(facts)]
    if bare_partitions:
        found.append((f"triggers of partition {_listed(bare_partitions)} are missing or disabled", _MIGRATE))
    if foreign_partitions:
        found.append((f"partition {_listed(foreign_partitions)} is a foreign table", _NO_FOREIGN))
    if late_triggers:
        flaw = f"trigger {_listed(late_triggers)} may change a row after the triggers that record changes have seen it"
        found.append((flaw, f"{_EARLIER} {' '.join(renames)}"))
    if children:
        found.append((f"table {_listed(children)} inherits from it and has no such triggers", _ONE_TABLE))
    if unlogged:
        found.append(("it is unlogged, so its rows are gone after a crash without a trace", _LOGGED))
    return Capture(identity, tuple(flaw for flaw, _ in found), tuple(dict.fromkeys(remedy for _, remedy in found)))


def refuse_other_than_table(kind: str | None) -> None:
    """Check that the name of the source leads to a table, or to nothing.

    :param kind: ``pg_class.relkind``; ``None`` if there is nothing of that name
    :raises ConfigurationError: it is a view or a foreign table
    """
    if kind in _NO_TABLES:
        raise ConfigurationError(
            Code.TABLE_NOT_CAPTURED,
            f"{TABLE} is {_NO_TABLES[kind]}. The sync needs a table whose triggers record changes and deletions: point "
            "the connection at the database and schema that hold the table itself.",
        )


def _flaws(facts: Collection[str]) -> list[str]:
    """Name each trigger or function that is not as the migrations make it, and what is wrong."""
    there = {_name(fact): fact for fact in facts}
    flaws = []
    for fact in sorted(_expected().difference(facts)):
        kind, name = fact.split(" ", 1)[0], _name(fact)
        actual = there.get(name)
        if actual is None:
            flaw = "is missing"
        elif actual.removesuffix(" (disabled)") == fact.removesuffix(" (always)"):
            flaw = "is disabled" if actual.endswith(" (disabled)") else "is not enabled always"
        elif actual.removesuffix(" (replica)") == fact.removesuffix(" (always)"):
            flaw = "is enabled for replication only"
        else:
            flaw = "is not the one of migration 015"
        flaws.append(f"{kind} {name} {flaw}")
    return flaws


@cache
def _expected() -> frozenset[str]:
    return frozenset(filter(_RECORDING.match, expected_facts(_NEWEST)))


def _name(fact: str) -> str:
    match = _NAME.match(fact)
    return match[1] if match else fact


def _listed(names: Iterable[str], shown: int = 5) -> str:
    listed = list(names)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
