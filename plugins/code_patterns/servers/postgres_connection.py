"""The Airflow connection of the patterns' database, checked and made into a configuration."""

from typing import Annotated, ClassVar, Literal

from psycopg import pq
from pydantic import ConfigDict, Field

from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionExtra, ConnectionFields
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.typed_fields import NOT_BOOLEAN, Flag

_FIELDS = {"host": "host", "port": "port", "dbname": "schema", "user": "login", "password": "password"}
"""Parameters of libpq that are fields of the connection."""
_OF_PROVIDER = frozenset(
    (
        "cursor",
        "sqlalchemy_scheme",
        "sqlalchemy_query",
        "aws_conn_id",
        "azure_conn_id",
        "iam",
        "redshift",
        "redshift-serverless",
        "cluster-identifier",
        "workgroup-name",
    )
)
"""What Airflow's PostgresHook keeps for itself; it concerns nothing here."""


class PostgresExtra(ConnectionExtra):
    """The extra of a connection of type ``postgres``: any parameter of libpq, and what Airflow's hook knows.

    Fields stand here where libpq's own message would come late or name no connection.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | int | float]
    known_in_words: ClassVar[str] = "the connection parameters of libpq, such as sslmode"

    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    connect_timeout: Annotated[int, Field(ge=0), NOT_BOOLEAN] | None = None
    iam: Flag = False
    sqlalchemy_query: object = None

    @classmethod
    def known(cls) -> set[str]:
        """Return the parameters of the libpq in use, and the provider's names."""
        return {parameter.keyword.decode() for parameter in pq.Conninfo.get_defaults()} | _OF_PROVIDER


def postgres_config(connection: ConnectionFields) -> PostgresConfig:
    """Check a connection.

    :raises ConfigurationError: it lacks a field, or holds an extra that libpq does not know
    """
    conn_id, extra = connection.conn_id, PostgresExtra.read(connection)
    options = extra.model_dump(exclude_unset=True)
    if extra.iam or options.get("azure_conn_id"):
        name = "iam" if extra.iam else "azure_conn_id"
        raise ConfigurationError(
            f"Connection '{conn_id}' has extra '{name}', which is not supported here. Use a password."
        )
    for name in options.keys() & _FIELDS.keys():
        raise ConfigurationError(f"Connection '{conn_id}' has extra '{name}'. Set the field {_FIELDS[name]} instead.")
    return PostgresConfig(
        conn_id=conn_id,
        host=connection.host,
        database=connection.schema,
        user=connection.login,
        password=connection.password,
        port=connection.port or 5432,
        options={name: value for name, value in options.items() if name not in _OF_PROVIDER},
    )
