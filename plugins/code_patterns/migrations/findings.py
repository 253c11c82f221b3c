"""What the queries in migration files find in a database: statements to run, what to know, and what forbids them.

A part of the kind :attr:`.files.Kind.STATEMENTS` is a query whose rows have two columns, a word and a text. The word
says what the text is:

- ``short``: statements to run in one short transaction;
- ``long``: a statement to run outside a transaction, which takes no lock that others wait for;
- ``note``: what a person should know, such as what is left as it is;
- ``refuse``: why the migration cannot run here, and what to do;
- ``check``: a query; each of its rows is one more reason to refuse.

What of others depends on something that a statement drops is a reason to refuse, too.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from code_patterns.migrations.files import Kind, Part, Script
from code_patterns.sql import query

_DROP = re.compile(
    r"""
      ^DROP\ (?P<kind>TABLE|VIEW|FUNCTION|TRIGGER)\ (?:IF\ EXISTS\ )?(?P<name>[^;]+?)(?:\ ON\ [^;]+)?(?:;|$)
    | ^ALTER\ TABLE\ (?P<table>\S+)\ DROP\ COLUMN\ (?:IF\ EXISTS\ )?(?P<column>\w+)
    """,
    re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True)
class Findings:
    """What the queries of some files say about a database.

    :param notes: what a person should know
    :param obstacles: why the migration is refused, each with what to do
    :param statements: what would be run
    """

    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


def find(connection: psycopg.Connection[Any], scripts: Iterable[Script]) -> Findings:
    """Ask all queries of some files, without running a statement.

    A query has to answer also when the files before its own have not run.
    """
    notes: list[str] = []
    obstacles: list[str] = []
    statements: list[str] = []
    for script in scripts:
        for part in script.parts:
            if part.kind is not Kind.STATEMENTS:
                statements.append(part.sql)
                continue
            for word, text in rows_of(connection, part):
                if word == "note":
                    notes.append(text)
                elif word == "refuse":
                    obstacles.append(text)
                elif word == "check":
                    obstacles += [reason for (reason,) in connection.execute(text.encode())]
                else:
                    statements.append(text)
    obstacles += _dependants(connection, statements)
    return Findings(tuple(dict.fromkeys(notes)), tuple(dict.fromkeys(obstacles)), tuple(statements))


def rows_of(connection: psycopg.Connection[Any], part: Part) -> list[tuple[str, str]]:
    """Ask the query of a part."""
    # Without parameters psycopg sends the text unchanged: % is only a character.
    return connection.execute(part.sql.encode()).fetchall()


def _dependants(connection: psycopg.Connection[Any], statements: Iterable[str]) -> list[str]:
    """Say what of others depends on what the statements drop, before PostgreSQL does in the middle of them."""
    drops = [match for statement in statements for match in _DROP.finditer(statement)]
    names = {
        "relations": [drop["name"] for drop in drops if drop["kind"] in ("TABLE", "VIEW")],
        "functions": [drop["name"] for drop in drops if drop["kind"] == "FUNCTION"],
        "triggers": [drop["name"] for drop in drops if drop["kind"] == "TRIGGER"],
        "tables": [drop["table"] for drop in drops if drop["column"]],
        "columns": [drop["column"] for drop in drops if drop["column"]],
    }
    return [reason for (reason,) in connection.execute(query("migration_dependants"), names)]
