"""What the schema should look like, and what it does look like.

The expected schema is kept as facts, one line each, in ``include/migrations/schema.txt``: ``+013 <fact>`` is true from
migration 013 on, ``-013 <fact>`` no longer. Types that an adopted table may have count as the documented ones. What a
user added is ignored.
"""

import re
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from code_patterns.sql import MIGRATIONS, query_over


def actual_facts(connection: psycopg.Connection[Any]) -> frozenset[str]:
    """Return the facts about every table, view, function, index, constraint and trigger of the current schema."""
    statement = query_over("schema_facts", "schema_trigger_facts")
    return frozenset(fact for (fact,) in connection.execute(statement))


def expected_facts(version: int, folder: Path = MIGRATIONS) -> dict[str, int]:
    """Return what must be true at a version, and since which one; nothing where the folder has no ``schema.txt``."""
    path = folder / "schema.txt"
    facts: dict[str, int] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        change, fact = line.split(" ", 1)
        since = int(change[1:])
        if since > version:
            continue
        if change[0] == "+":
            facts[fact] = since
        else:
            del facts[fact]
    return facts


@cache
def expected_names(folder: Path = MIGRATIONS) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that migrations use: of tables and views, and of functions."""
    facts = expected_facts(sys.maxsize, folder)
    relations = {match[1] for fact in facts if (match := re.fullmatch(r"(?:table|view) (\w+)", fact))}
    functions = {match[1] for fact in facts if (match := re.match(r"function (\w+)\(", fact))}
    return frozenset(relations | {_APART}), frozenset(functions)


def missing_facts(version: int, actual: Collection[str], folder: Path = MIGRATIONS) -> dict[str, int]:
    """Return what must be true at a version and is not, and which migration made it so.

    Not compared are keys of partitioned tables, which must hold the partition key, and what was adopted: the default
    that a column already had, integers in place of numbers, views of others, and what a later migration takes back.
    Where the relationships of templates have a table of their own, it counts as the documented one.

    :param actual: from :func:`actual_facts`
    """
    others = _views_of_others(actual)
    if f"table {_APART}" in actual:
        actual = {fact.replace(_APART, _RELATIONSHIPS) for fact in actual if not _is_about(fact, _RELATIONSHIPS)}
        others.add(_APART)
    tables = [fact.split()[1] for fact in actual if fact.startswith("table ") and fact.endswith(" is partitioned")]
    left = tuple(f"constraint on {table}: {kind}" for table in tables for kind in ("PRIMARY KEY", "UNIQUE"))
    left += tuple(fact.removesuffix(_INTEGER) + _NUMBER for fact in actual if fact.endswith(_INTEGER))
    left += tuple(fact.partition(_DEFAULT)[0] + _DEFAULT for fact in actual if _DEFAULT in fact)
    for view in others:
        left += (f"view {view}", f"column {view}.")
    references = [f"REFERENCES {table}(" for table in tables]
    lasting = expected_facts(sys.maxsize, folder)
    return {
        fact: since
        for fact, since in expected_facts(version, folder).items()
        if fact in lasting
        and fact not in actual
        and not fact.startswith(left)
        and not any(reference in fact for reference in references)
    }


_RELATIONSHIPS = "pattern_relationships"
_APART = "pattern_template_relationships"
"""A view of the table above, or the table itself where that name is taken; see migration 001."""
_DEFAULT = " defaults to "
_INTEGER, _NUMBER = " integer", " double precision"


def _is_about(fact: str, table: str) -> bool:
    return bool(re.search(rf"\b{table}\b", fact))


def _views_of_others(actual: Collection[str]) -> set[str]:
    there = {match[2]: match[1] for fact in actual if (match := re.fullmatch(r"(materialized view|view) (\w+)", fact))}
    return {view for view, kind in there.items() if kind != "view" or f"view {view} is of a migration" not in actual}
