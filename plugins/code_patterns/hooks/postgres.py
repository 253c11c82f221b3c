"""The hook of the patterns' database."""

from dataclasses import replace
from functools import cached_property
from typing import Any, cast

from airflow.providers.postgres.hooks.postgres import PostgresHook

from code_patterns.errors import ConfigurationError
from code_patterns.hooks.airflow_connection import nameless, read_connection, tested
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_connection import postgres_config

_CREATE = (
    "--conn-type postgres --conn-host HOST --conn-port 5432 "
    "--conn-schema DATABASE --conn-login USER --conn-password PASSWORD"
)


class PatternsPostgresHook(PostgresHook):
    """The provider's hook; it also gives the connection as :class:`~code_patterns.servers.postgres.PostgresConfig`.

    :param postgres_conn_id: Airflow connection of type ``postgres``. Its extra may hold any parameter of libpq
        (``sslmode``, ``options``, ...); the provider's own extras, such as ``cursor``, are left out. IAM and Azure
        tokens are not supported.
    """

    default_conn_name = "patterns_postgres"

    @cached_property
    def config(self) -> PostgresConfig:
        """The checked connection; the hook's arguments ``database`` and ``options`` override it.

        :raises ConfigurationError: it is not defined, a field is missing, or libpq does not know an extra
        """
        connection = read_connection(str(self.get_conn_id()), _CREATE)
        config = postgres_config(replace(connection, schema=self.database or connection.schema))
        return replace(config, options={**config.options, "options": self.options}) if self.options else config

    def test_connection(self) -> tuple[bool, str]:  # type: ignore[override]  # the provider's has no annotation
        """Log in and look for tables and migrations; see :mod:`code_patterns.probes`.

        Airflow tests every connection of this type with this hook. One that only the provider can use passes too.
        """
        # Imported here: every user of a PostgreSQL connection in this Airflow imports this module.
        from code_patterns.probes import probe_postgres

        conn_id = str(self.get_conn_id())
        try:
            config = self.config
        except ConfigurationError as error:
            usable, answer = cast(Any, super()).test_connection()
            reason = nameless(str(error), conn_id)
            return usable, f"{answer}. It cannot serve the code patterns: {reason}" if usable else reason
        return tested(conn_id, lambda: probe_postgres(config))
