"""What the schema should look like, and what it does look like.

The expected schema is kept as facts, one line each, in ``include/migrations/schema.txt``: ``+013 <fact>`` is true from
migration 013 on, ``-013 <fact>`` no longer. Text and integer types of any width are one type to it, and everything
a user added of their own is ignored.
"""

from pathlib import Path
from typing import Any

import psycopg

from code_patterns.migrations.files import MIGRATIONS
from code_patterns.sql import query


def actual_facts(connection: psycopg.Connection[Any]) -> frozenset[str]:
    """Return the facts about every table, view, function, index, constraint and trigger of the current schema."""
    return frozenset(fact for (fact,) in connection.execute(query("schema_facts")))


def expected_facts(version: int, folder: Path = MIGRATIONS) -> frozenset[str]:
    """Return what must be true at a version; nothing where the folder has no ``schema.txt``."""
    path = folder / "schema.txt"
    facts: set[str] = set()
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        change, fact = line.split(" ", 1)
        if int(change[1:]) <= version:
            (facts.add if change[0] == "+" else facts.discard)(fact)
    return frozenset(facts)
