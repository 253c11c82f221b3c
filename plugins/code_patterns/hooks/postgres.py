"""The PostgreSQL database that holds the patterns."""

from functools import cached_property

from airflow.providers.postgres.hooks.postgres import PostgresHook
from psycopg import pq

from code_patterns.errors import ConfigurationError
from code_patterns.hooks.airflow_connection import get_connection
from code_patterns.servers.connection_fields import Extras
from code_patterns.servers.postgres import PostgresConfig

_FIELDS = {"host": "host", "port": "port", "dbname": "schema", "user": "login", "password": "password"}
_CREATE = (
    "--conn-type postgres --conn-host HOST --conn-port 5432 "
    "--conn-schema DATABASE --conn-login USER --conn-password PASSWORD"
)


class PatternsPostgresHook(PostgresHook):
    """The provider's hook, with the connection also as a :class:`~code_patterns.servers.postgres.PostgresConfig`.

    :param postgres_conn_id: Airflow connection of type ``postgres``. Its extra may hold any parameter of libpq
        (``sslmode``, ``options``, ...); what the provider keeps for itself, such as ``cursor``, is left out. IAM
        and Azure tokens are not supported.
    """

    default_conn_name = "patterns_postgres"

    @cached_property
    def config(self) -> PostgresConfig:
        """The connection, checked.

        :raises ConfigurationError: it is not defined, lacks a field, or holds an extra that libpq does not know
        """
        conn_id = str(self.get_conn_id())
        connection = get_connection(conn_id, _CREATE)
        extras = Extras.parse(conn_id, connection.extra)
        for name in ("iam", "azure_conn_id"):
            if extras.values.get(name):
                raise ConfigurationError(
                    f"Connection '{conn_id}' has extra '{name}', which is not supported here. Use a password."
                )
        own = {name: value for name, value in extras.values.items() if name not in self.ignored_extra_options}
        for name in own:
            if name in _FIELDS:
                raise ConfigurationError(
                    f"Connection '{conn_id}' has extra '{name}'. Set the field {_FIELDS[name]} instead."
                )
        parameters = {parameter.keyword.decode() for parameter in pq.Conninfo.get_defaults()}
        Extras(conn_id, own).refuse_unknown(parameters, "it must be a connection parameter of libpq, such as sslmode")
        if self.options:
            own["options"] = self.options
        return PostgresConfig(
            conn_id=conn_id,
            host=connection.host or "",
            database=self.database or connection.schema or "",
            user=connection.login or "",
            password=connection.password,
            port=connection.port or 5432,
            options=own,
        )
