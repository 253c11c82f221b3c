"""How to reach the PostgreSQL database that holds the patterns."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors as pg_errors
from psycopg.conninfo import make_conninfo

from code_patterns.errors import ConfigurationError, OutageError

CONNECT_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class PostgresConfig:
    """Where the patterns are.

    :param conn_id: name of the Airflow connection, used in messages
    :param host: host name, address, or directory of a Unix socket
    :param database: database name
    :param user: role to log in as
    :param password: its password, or ``None`` where the server asks for none
    :param port: TCP port
    :param options: further libpq parameters, such as ``sslmode``
    """

    conn_id: str
    host: str
    database: str
    user: str
    password: str | None = field(default=None, repr=False)
    port: int = 5432
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse what libpq would fill in from its environment: a silent default is the wrong database."""
        for name in ("host", "database", "user"):
            if not getattr(self, name):
                raise ConfigurationError(
                    f"Connection '{self.conn_id}' has no {name}. Set its host, schema (the database name) and "
                    "login; nothing is guessed."
                )

    @property
    def conninfo(self) -> str:
        """The libpq connection string, password included: never log it."""
        return make_conninfo(
            **{
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "code_patterns",
                **self.options,
                "host": self.host,
                "port": self.port,
                "dbname": self.database,
                "user": self.user,
                **({"password": self.password} if self.password else {}),
            }
        )

    @property
    def address(self) -> str:
        """The database in words, for messages: connection, host, port and name."""
        return f"connection '{self.conn_id}' ({self.host}:{self.port}/{self.database})"


def connection_failure(config: PostgresConfig, error: psycopg.OperationalError) -> Exception:
    """Turn a failed login or connect into an error that names the connection.

    :return: :class:`ConfigurationError` when a person must act (unknown host, wrong password, no such
        database), :class:`OutageError` when a server that was reachable before may come back
    """
    reason = " ".join(str(error).split()).rstrip(".?")
    text = f"PostgreSQL refused {config.address}: {reason}"
    if getattr(error, "sqlstate", None) == "57P03" or "starting up" in reason or "too many clients" in reason:
        return OutageError(f"{text}. It may serve again shortly.")
    fields = "host, port, schema, login and password"
    if str(config.options.get("sslmode", "")).startswith("verify"):
        fields += ", and the extras 'sslmode' and 'sslrootcert',"
    return ConfigurationError(f"{text}. Check {fields} of '{config.conn_id}'.")


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


@asynccontextmanager
async def database_errors(config: PostgresConfig) -> AsyncIterator[None]:
    """Turn PostgreSQL's errors into ones that name the connection and the remedy."""
    try:
        yield
    except (pg_errors.UndefinedTable, pg_errors.UndefinedColumn) as error:
        raise ConfigurationError(
            f"The database of {config.address} lacks what this run needs ({error.diag.message_primary}). "
            "Run schema_migration first."
        ) from None
    except pg_errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"The role '{config.user}' of {config.address} may not do this: {error.diag.message_primary}. "
            "Grant it the right, or use another login."
        ) from None
    except pg_errors.ReadOnlySqlTransaction as error:
        raise ConfigurationError(
            f"The database of {config.address} cannot be written ({error.diag.message_primary}), as on a replica. "
            "Name the primary server: what runs remember is kept beside the patterns."
        ) from None
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise OutageError(
            f"PostgreSQL at {config.address} went away during the run: {reason}. "
            "What was recorded stands; the next try goes on from there."
        ) from None
