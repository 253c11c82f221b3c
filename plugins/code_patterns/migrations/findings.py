"""What the queries in migration files find in a database: statements to run, what to know, and what forbids them.

A part of the kind :attr:`.files.Kind.STATEMENTS` is a query whose rows have two columns, a word and a text. The word
says what the text is:

- ``short``: statements to run in one short transaction;
- ``long``: a statement to run outside a transaction, which takes no lock that others wait for;
- ``note``: what a person should know, such as what is left as it is;
- ``refuse``: why the migration cannot run here, and what to do;
- ``check``: a query; each of its rows is one more reason to refuse.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from code_patterns.migrations.files import Kind, Part, Script


@dataclass(frozen=True)
class Findings:
    """What the queries of some files say about a database.

    :param notes: what a person should know
    :param obstacles: why the migration is refused, each with what to do
    """

    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()


def find(connection: psycopg.Connection[Any], scripts: Iterable[Script]) -> Findings:
    """Ask all queries of some files, without running a statement.

    A query has to answer also when the files before its own have not run.
    """
    notes: list[str] = []
    obstacles: list[str] = []
    for script in scripts:
        for part in script.parts:
            if part.kind is Kind.STATEMENTS:
                for word, text in rows_of(connection, part):
                    if word == "note":
                        notes.append(text)
                    elif word == "refuse":
                        obstacles.append(text)
                    elif word == "check":
                        obstacles += [reason for (reason,) in connection.execute(text.encode())]
    return Findings(tuple(dict.fromkeys(notes)), tuple(dict.fromkeys(obstacles)))


def rows_of(connection: psycopg.Connection[Any], part: Part) -> list[tuple[str, str]]:
    """Ask the query of a part."""
    # Without parameters psycopg sends the text unchanged: % is only a character.
    return connection.execute(part.sql.encode()).fetchall()
