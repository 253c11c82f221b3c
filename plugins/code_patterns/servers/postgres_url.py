"""Parse a connection URL of PostgreSQL."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.postgres import PostgresConfig

URL_NAME = "connection_url"
"""Name of a connection given as a URL, in messages."""


def config_from_url(url: str, name: str = URL_NAME) -> PostgresConfig:
    """Parse a connection URL; nothing is guessed.

    :param url: ``postgresql://user:password@host:port/database?sslmode=require``, or libpq's ``host=... dbname=...``
    :param name: its name in messages, such as the variable that holds it
    :raises ConfigurationError: it is malformed, or lacks host, database or user; the text does not show the URL
    """
    try:
        parts = conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeError):
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"The {name} is malformed. Write it as postgresql://user:password@host:port/database, with special "
            "characters of the password percent-encoded as UTF-8.",
        ) from None
    host, port = str(parts.pop("host", "") or ""), str(parts.pop("port", "") or "5432")
    database, user = str(parts.pop("dbname", "") or ""), str(parts.pop("user", "") or "")
    for part, value in (("host", host), ("database", database), ("user", user)):
        if not value:
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"The {name} has no {part}. Write it as postgresql://user:password@host:port/database; nothing "
                "is guessed.",
            )
    if "," in host or not port.isdecimal():
        raise ConfigurationError(Code.CONNECTION_WRONG, f"The {name} must name one host and one port.")
    password = parts.pop("password", None)
    return PostgresConfig(
        conn_id=name,
        host=host,
        database=database,
        user=user,
        password=None if password is None else str(password),
        port=int(port),
        options=parts,
    )
