"""Find what others have under the names of what migrations make: ``IF NOT EXISTS`` would take it for ours."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import psycopg

from code_patterns.sql import query

_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
_VIEW = re.compile(r"^CREATE OR REPLACE VIEW (\w+)", re.MULTILINE)
_RENAMED_INDEX = re.compile(r"^ALTER INDEX (\w+) RENAME", re.MULTILINE)
_COLUMN = re.compile(r"column (\w+)\.(\w+) (?!is required$|defaults to )")
_INDEX = re.compile(r"((?:unique )?index) (\w+): ((\w+) .*)")
_ADOPTED_OR_NOT = "pattern_relationships"
"""Migration 001 decides whose table of this name it is, and gives its own another name if need be."""


def taken_names(
    connection: psycopg.Connection[Any],
    statements: Collection[str],
    expected: Collection[str],
    actual: Collection[str],
) -> list[str]:
    """Say which names are taken, each with the statement that makes room.

    :param statements: what the migrations would run
    :param expected: facts that these migrations are to make true
    :param actual: facts that are true
    """
    tables = {name for statement in statements for name in _TABLE.findall(statement)}
    views = {name for statement in statements for name in _VIEW.findall(statement)}
    renamed = {name for statement in statements for name in _RENAMED_INDEX.findall(statement)}
    indexes = {
        match[2]: (fact, f"is not the {match[1]} on {match[3]}")
        for fact in expected
        if (match := _INDEX.fullmatch(fact)) and match[4] != _ADOPTED_OR_NOT and match[2] not in renamed
    }
    names = {"names": [*tables, *views, *indexes]}
    present = {name: (kind, word) for name, kind, word in connection.execute(query("migration_present"), names)}
    found = [
        *_taken_by_another_table(tables, present, expected, actual),
        *((name, "was not made by a migration") for name in views if f"view {name} is of a migration" not in actual),
        # What a broken build has left is ours.
        *((name, why) for name, (fact, why) in indexes.items() if not {fact, f"{fact} (invalid)"}.intersection(actual)),
    ]
    return [
        f"{name} exists and {why}. Where it is not one of this bundle's, give it another name, under which its readers "
        f"go on using it: ALTER {present[name][1]} {name} RENAME TO {name[:53]}_of_before;"
        for name, why in sorted(found)
        if name in present
    ]


def _taken_by_another_table(
    tables: Iterable[str],
    present: Mapping[str, tuple[str, str]],
    expected: Iterable[str],
    actual: Collection[str],
) -> Iterator[tuple[str, str]]:
    lacking: dict[str, list[str]] = {}
    for fact in sorted(expected):
        if (match := _COLUMN.match(fact)) and fact not in actual:
            lacking.setdefault(match[1], []).append(match[2])
    for name in tables:
        if present.get(name, ("r", ""))[0] not in ("r", "p"):
            yield name, "is not a table"
        elif name in lacking:
            yield name, f"has no column {', '.join(lacking[name])} of the type that is needed"
