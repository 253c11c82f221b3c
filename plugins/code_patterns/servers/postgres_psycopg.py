"""Open a connection of psycopg."""

import psycopg

from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import connection_failure


async def connect(config: PostgresConfig, *, autocommit: bool = False) -> psycopg.AsyncConnection:
    """Open a connection, or say in one sentence why not.

    :raises ConfigurationError: unknown host, wrong password, no such database
    :raises OutageError: the server is starting up or full
    """
    try:
        return await psycopg.AsyncConnection.connect(config.conninfo, autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise connection_failure(config, error) from None


def connect_blocking(config: PostgresConfig, *, autocommit: bool = False) -> psycopg.Connection:
    """Open a connection for code that has no event loop; errors as in :func:`connect`."""
    try:
        return psycopg.connect(config.conninfo, autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise connection_failure(config, error) from None
