"""Say in the caller's terms what the database refused."""

import re
from uuid import UUID

import asyncpg

from code_patterns.servers.postgres_errors import diagnose
from pattern_learning.values import Refusal

_TOO_LARGE = {
    "22001": "a shorter text",
    "22003": "a smaller number",
    "22P05": "a text without characters that the encoding of the database lacks",
    "54000": "a shorter text",
    "54001": "a shorter text",
}
"""What to give in place of a value that this database cannot hold, by SQLSTATE."""
_KEY = re.compile(r"\(([^()]+)\)=\((.*?)\)")


def unknown_template(pattern_id: UUID) -> Refusal:
    """Refuse an id of which there is no template."""
    return Refusal(f"pattern_id is {pattern_id}, but there is no template with this id: pattern not found.")


def invalid_reference(name: str, key: object) -> Refusal:
    """Refuse a reference to a template that does not exist.

    :param name: argument or field that refers to it
    :param key: the id that it holds
    """
    return Refusal(f"{name} is {key}, an invalid reference: a template with this id was not found.")


def too_large(error: Exception) -> Refusal | None:
    """Refuse a value that this database cannot hold, such as one too long for an index; ``None`` for another error.

    Adopted tables keep their types, and what an index can hold depends on how well a text can be compressed.
    """
    wanted, fault = _TOO_LARGE.get(str(getattr(error, "sqlstate", None))), diagnose(error)
    if wanted is None or fault is None:
        return None
    where = f" ({fault.where})" if fault.where else ""
    return Refusal(f"PostgreSQL cannot take one of the values that were given: {fault.said}{where}. Give {wanted}.")


def violated_key(error: asyncpg.IntegrityConstraintViolationError) -> tuple[str, str]:
    """Return columns and values of the key that a statement violated, whatever language the server speaks.

    PostgreSQL writes ``Key (a, b)=(1, 2) already exists.`` and translates all but the parentheses.
    """
    found = _KEY.search(getattr(error, "detail", None) or "")
    return (found[1], found[2]) if found else ("", "")
