"""Say in the caller's terms what the database refused."""

import re
from uuid import UUID

import asyncpg

from pattern_learning.values import Refusal

_KEY = re.compile(r"\(([^()]+)\)=\((.*?)\)")


def unknown_template(pattern_id: UUID) -> Refusal:
    """Refuse an id of which there is no template."""
    return Refusal(f"pattern_id is {pattern_id}, but there is no template with this id: pattern not found.")


def violated_key(error: asyncpg.IntegrityConstraintViolationError) -> tuple[str, str]:
    """Return columns and values of the key that a statement violated, whatever language the server speaks.

    PostgreSQL writes ``Key (a, b)=(1, 2) already exists.`` and translates all but the parentheses.
    """
    found = _KEY.search(getattr(error, "detail", None) or "")
    return (found[1], found[2]) if found else ("", "")
