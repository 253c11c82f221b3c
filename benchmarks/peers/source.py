"""The patterns as the peers read them, and connection strings for SQLAlchemy."""

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from benchmarks.peers.documents import COLUMNS, Document, document_of

QUERY = f"""
SELECT {COLUMNS}
FROM pattern_lineage_nodes
WHERE pattern_type = 'code'
ORDER BY id
LIMIT %s
"""  # noqa: S608 (fixed columns)


def documents(dsn: str, count: int) -> list[Document]:
    """Read the patterns, in id order."""
    with psycopg.connect(dsn) as connection:
        return [document_of(*row) for row in connection.execute(QUERY, (count,))]


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
