"""Check the Airflow connection of the patterns' database and make a configuration of it."""

import re
from typing import Annotated, ClassVar, Literal

from psycopg import pq
from pydantic import AfterValidator, ConfigDict, Field

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionExtra, ConnectionFields
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.typed_fields import NOT_BOOLEAN, File, Flag, readable

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
"""Extras of Airflow's PostgresHook that have no meaning here."""


def _system_or_file(sslrootcert: str) -> str:
    return sslrootcert if sslrootcert == "system" else readable(sslrootcert)


class PostgresExtra(ConnectionExtra):
    """The extra of a connection of type ``postgres``: any parameter of libpq, and what Airflow's hook knows.

    The fields here are those for which libpq's own message comes late or names no connection.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | int | float]
    known_in_words: ClassVar[str] = "the connection parameters of libpq, such as sslmode"

    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    connect_timeout: Annotated[int, Field(ge=0), NOT_BOOLEAN] | None = None
    sslrootcert: Annotated[str, AfterValidator(_system_or_file)] | None = None
    sslcert: File | None = None
    sslkey: File | None = None
    sslcrl: File | None = None
    iam: Flag = False
    sqlalchemy_query: object = None

    @classmethod
    def known(cls) -> set[str]:
        """Return the parameters of the libpq in use, and the provider's names."""
        return {parameter.keyword.decode() for parameter in pq.Conninfo.get_defaults()} | _OF_PROVIDER


def postgres_config(connection: ConnectionFields) -> PostgresConfig:
    """Check a connection.

    :raises ConfigurationError: a field is missing, or libpq does not know an extra
    """
    conn_id, extra = connection.conn_id, PostgresExtra.read(connection)
    options = extra.model_dump(exclude_unset=True)
    if extra.iam or options.get("azure_conn_id"):
        name = "iam" if extra.iam else "azure_conn_id"
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{conn_id}' has extra '{name}', which is not supported here. Use a password.",
        )
    for name in options.keys() & _FIELDS.keys():
        raise ConfigurationError(
            Code.CONNECTION_WRONG, f"Connection '{conn_id}' has extra '{name}'. Set the field {_FIELDS[name]} instead."
        )
    if extra.sslmode in ("verify-ca", "verify-full") and not extra.sslrootcert:
        # libpq would look for a file in the home of the user that runs the worker.
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{conn_id}' has extra 'sslmode' = '{extra.sslmode}' and no extra 'sslrootcert'. Set it to the "
            "PEM file of the authority that signed the server's certificate, or to 'system' for the machine's own.",
        )
    _refuse_urls(connection)
    return PostgresConfig(
        conn_id=conn_id,
        host=connection.host,
        database=connection.schema,
        user=connection.login,
        password=connection.password,
        port=connection.port or 5432,
        options={name: value for name, value in options.items() if name not in _OF_PROVIDER},
    )


def _refuse_urls(connection: ConnectionFields) -> None:
    """Refuse a connection string in a field: it may hold a password, and messages show these fields."""
    host = connection.host
    in_host = "@" in host[1:] or (not host.startswith(("/", "@")) and re.search(r"[\s=]", host))
    for name in ("host", "schema", "login"):
        if "://" in getattr(connection, name) or (name == "host" and in_host):
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"The {name} of connection '{connection.conn_id}' is a URL or a connection string. Put its parts into "
                "the fields host, port, schema, login and password.",
            )
