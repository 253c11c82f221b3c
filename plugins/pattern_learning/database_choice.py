"""Choose the database of the storage layer."""

import asyncio
import os
from collections.abc import Mapping

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_url import config_from_url

URL_VARIABLES = ("TRACEABILITY_DB_URL_EXTERNAL", "TRACEABILITY_DB_URL")
"""Environment variables that hold a whole URL; the first one that is set counts."""
FIELD_VARIABLES = {
    "host": "TRACEABILITY_DB_HOST",
    "port": "TRACEABILITY_DB_PORT",
    "database": "TRACEABILITY_DB_NAME",
    "user": "TRACEABILITY_DB_USER",
    "password": "TRACEABILITY_DB_PASSWORD",
}


async def choose_database(connection_url: str | None) -> PostgresConfig:
    """Return the database of the URL, else of the environment, else of the Airflow connection ``patterns_postgres``.

    :raises ConfigurationError: the first of these that exists is incomplete, or none exists
    """
    if connection_url is not None:
        return config_from_url(connection_url)
    if (config := _from_environment(os.environ)) is not None:
        return config
    # In a thread: importing Airflow and reading a connection would block the event loop.
    return await asyncio.to_thread(_from_airflow)


def _from_environment(environment: Mapping[str, str]) -> PostgresConfig | None:
    for name in URL_VARIABLES:
        if url := environment.get(name):
            return config_from_url(url, name)
    given = {field: environment[name] for field, name in FIELD_VARIABLES.items() if environment.get(name)}
    if not given.keys() - {"password"}:
        return None
    for field in ("host", "database", "user"):
        if field not in given:
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"The environment has {FIELD_VARIABLES[next(iter(given))]}, but not {FIELD_VARIABLES[field]}. Set it "
                "too; nothing is guessed.",
            )
    port = given.get("port", "5432")
    if not port.isdecimal():
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"The variable {FIELD_VARIABLES['port']} is {port!r}; it must be a port such as 5432.",
        )
    return PostgresConfig(
        conn_id="TRACEABILITY_DB_HOST",
        host=given["host"],
        database=given["database"],
        user=given["user"],
        password=given.get("password"),
        port=int(port),
    )


def _from_airflow() -> PostgresConfig:
    from code_patterns.hooks.postgres import PatternsPostgresHook

    return PatternsPostgresHook().config
