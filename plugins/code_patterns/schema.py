"""What the schema should look like, and what it does look like.

The expected schema is kept as facts, one line each, in ``include/migrations/schema.txt``: ``+013 <fact>`` is true from
migration 013 on, ``-013 <fact>`` no longer. Text types of any width count as one type, and integer types too. What a
user added is ignored.
"""

from collections.abc import Collection
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


def missing_facts(version: int, actual: Collection[str], folder: Path = MIGRATIONS) -> dict[str, int]:
    """Return what must be true at a version and is not, and which migration made it so.

    Keys of partitioned tables are not compared: they must hold the partition key, which differs between installations.

    :param actual: from :func:`actual_facts`
    """
    tables = [fact.split()[1] for fact in actual if fact.startswith("table ") and fact.endswith(" is partitioned")]
    keys = tuple(f"constraint on {table}: {kind}" for table in tables for kind in ("PRIMARY KEY", "UNIQUE"))
    references = [f"REFERENCES {table}(" for table in tables]
    return {
        fact: since
        for fact, since in expected_facts(version, folder).items()
        if fact not in actual and not fact.startswith(keys) and not any(reference in fact for reference in references)
    }
