"""Choose the database of the templates."""

import asyncio

from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_url import config_from_url


async def choose_database(connection_url: str | None) -> PostgresConfig:
    """Take the URL, or the Airflow connection ``patterns_postgres``.

    :raises ConfigurationError: the URL is incomplete, or there is no such connection
    """
    if connection_url is not None:
        return config_from_url(connection_url)
    # In a thread: importing Airflow and asking for a connection would hold up the event loop.
    return await asyncio.to_thread(_airflow_connection)


def _airflow_connection() -> PostgresConfig:
    from code_patterns.hooks.postgres import PatternsPostgresHook

    return PatternsPostgresHook().config
