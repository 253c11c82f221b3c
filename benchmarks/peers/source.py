"""The patterns as the peers read them, and connection strings for SQLAlchemy."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

QUERY = """
SELECT id, pattern_id, pattern_name, pattern_type, file_path, language, created_at, metadata, pattern_data ->> 'code'
FROM pattern_lineage_nodes
WHERE pattern_type = 'code'
ORDER BY id
LIMIT %s
"""


@dataclass(frozen=True)
class Document:
    """What each peer makes its document from.

    :param id: the row's id
    :param text: the text that the sync embeds too
    :param metadata: the rest of the payload
    """

    id: UUID
    text: str
    metadata: dict[str, Any]


def documents(dsn: str, count: int) -> list[Document]:
    """Read the patterns, in id order."""
    found = []
    with psycopg.connect(dsn) as connection:
        for row in connection.execute(QUERY, (count,)):
            node_id, pattern_id, name, kind, path, language, created_at, metadata, code = row
            text = f"File: {PurePosixPath(path).name}\nLanguage: {language or 'unknown'}\nPath: {path}\n\nCode:\n{code}"
            payload = {
                "pattern_id": pattern_id,
                "pattern_name": name,
                "pattern_type": kind,
                "file_path": path,
                "language": language,
                "created_at": created_at.isoformat(),
                "metadata": metadata,
                "code": code,
            }
            found.append(Document(node_id, text, payload))
    return found


def sqlalchemy_url(dsn: str, driver: str) -> str:
    """Turn a libpq connection string into a URL of SQLAlchemy.

    :param dsn: connection string; its host may be the directory of a Unix socket
    :param driver: such as ``postgresql+psycopg``
    """
    parts = conninfo_to_dict(dsn)
    host = str(parts["host"])
    socket = host.startswith("/")
    port = int(parts.get("port") or 5432)
    url = URL.create(
        driver,
        username=parts["user"],
        password=parts.get("password"),
        host=None if socket else host,
        port=None if socket else port,
        database=parts["dbname"],
        query={"host": host, "port": str(port)} if socket else {},
    )
    return url.render_as_string(hide_password=False)
