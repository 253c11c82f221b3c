"""The PostgreSQL database of the patterns: its address, and the settings of its sessions."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.conninfo import make_conninfo

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError

CONNECT_TIMEOUT_SECONDS = 10
LEAST_MAJOR = 15
"""The oldest version of PostgreSQL that works."""
NO_FILE = os.devnull + "/none"
"""A path where no file can exist."""

PINNED: Mapping[str, str] = {
    # How values look.
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    # Names of tables are compared with what the server prints.
    "quote_all_identifiers": "off",
    # A row that the role must not see is an error, not a deleted pattern. pg_dump does the same.
    "row_security": "off",
    # How transactions behave.
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "on",
    # Only the task's own time-out limits a run.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    # Compiling takes longer than most of these statements run.
    "jit": "off",
}
"""Sent when a session starts. They override the settings of role and database, and ``RESET`` restores them."""


@dataclass(frozen=True)
class PostgresConfig:
    """The address of the patterns' database.

    :param conn_id: name of the Airflow connection, used in messages
    :param host: host name, address, or directory of a Unix socket
    :param database: database name
    :param user: role to log in as
    :param password: its password, or ``None`` if the server needs none
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
        """Refuse a missing field: libpq's silent default would be the wrong database."""
        for name in ("host", "database", "user"):
            if not getattr(self, name):
                raise ConfigurationError(
                    Code.CONNECTION_WRONG,
                    f"Connection '{self.conn_id}' has no {name}. Set its host, schema (the database name) and "
                    "login; nothing is guessed.",
                )

    @property
    def conninfo(self) -> str:
        """The libpq connection string, password included: never log it."""
        return make_conninfo(
            **{
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "code_patterns",
                **self.options,
                "options": self.switches,
                "client_encoding": PINNED["client_encoding"],
                "host": self.host,
                "hostaddr": "",
                "port": self.port,
                "dbname": self.database,
                "user": self.user,
                "password": self.password or "",
                # Without a password libpq looks for one in the home of the user that runs the worker.
                "passfile": NO_FILE,
            }
        )

    @property
    def switches(self) -> str:
        """The libpq parameter ``options``: the connection's own, then the settings of every session."""
        return f"{self.options.get('options') or ''} {_as_switches(PINNED)}".strip()

    @property
    def address(self) -> str:
        """The database in words, for messages: connection, host, port and name."""
        return f"connection '{self.conn_id}' ({self.host}:{self.port}/{self.database})"


def refuse_old_postgres(config: PostgresConfig, version: str) -> None:
    """Check the server's version; every session does, before its first statement.

    :param version: the server's setting ``server_version``, such as ``15.18 (Debian 15.18-0+deb12u1)``
    :raises ConfigurationError: it is too old
    """
    number = re.match(r"\d+", version)
    if number and int(number[0]) < LEAST_MAJOR:
        raise ConfigurationError(
            Code.POSTGRES_TOO_OLD,
            f"PostgreSQL at {config.address} is version {version.split()[0]}; version {LEAST_MAJOR} or newer is "
            "needed. Upgrade it, with pg_upgrade or by dump and restore.",
        )


def _as_switches(settings: Mapping[str, str]) -> str:
    return " ".join("-c {}={}".format(name, value.replace(" ", "\\ ")) for name, value in settings.items())
