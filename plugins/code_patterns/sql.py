"""The queries of this project, one named file each, in ``include/sql``; and texts as PostgreSQL can store them."""

import re
from functools import cache
from pathlib import Path

_PLUGINS = Path(__file__).resolve().parents[1]
INCLUDE = next(
    (folder for folder in (_PLUGINS.parent / "include", _PLUGINS / "include") if (folder / "sql").is_dir()),
    _PLUGINS.parent / "include",
)
"""The bundle's ``include`` folder, found from this file so that every checkout uses its own queries.

It is beside the plugins folder, or in it where a service takes that folder alone.
"""
MIGRATIONS = INCLUDE / "migrations"
"""The folder that holds this project's migrations."""
_PART = re.compile(rb"/\* query (\w+) \*/")


@cache
def query(name: str) -> bytes:
    """Return the text of ``include/sql/<name>.sql``, as bytes because that is what psycopg takes as SQL.

    A mark such as ``/* query other_name */`` stands for the text of another one, which ends without a semicolon.

    :param name: file name without its ending
    :raises FileNotFoundError: there is no such query
    """
    text = (INCLUDE / "sql" / f"{name}.sql").read_bytes()
    return _PART.sub(lambda part: query(part[1].decode()), text)


@cache
def query_over(name: str, rows: str) -> bytes:
    """Return the text of one query with another one at its mark ``/* rows */``.

    :param name: the query with the mark
    :param rows: the query of the rows that it reads, without a semicolon at its end
    """
    return query(name).replace(b"/* rows */", query(rows))


def unstorable(text: str) -> str | None:
    """What keeps a text column from holding a text, in words; ``None`` if nothing does."""
    if "\0" in text:
        return "the character NUL, which PostgreSQL cannot store"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "lone surrogates, which UTF-8 cannot hold"
    return None


def storable(text: str, longest: int | None = 2000) -> str:
    """Keep the first characters, without those that a text column cannot hold: servers quote their input.

    :param longest: how many; ``None`` for all
    """
    return text[:longest].replace("\0", "?").encode("utf-8", "replace").decode()
