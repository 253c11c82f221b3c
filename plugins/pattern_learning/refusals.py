"""Say in the caller's terms what the database refused."""

import re
from uuid import UUID

import asyncpg

from pattern_learning.values import Refusal

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


def violated_key(error: asyncpg.IntegrityConstraintViolationError) -> tuple[str, str]:
    """Return columns and values of the key that a statement violated, whatever language the server speaks.

    PostgreSQL writes ``Key (a, b)=(1, 2) already exists.`` and translates all but the parentheses.
    """
    found = _KEY.search(getattr(error, "detail", None) or "")
    return (found[1], found[2]) if found else ("", "")
