"""Where the PostgreSQL database is that holds the patterns, and how its sessions are set."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.conninfo import make_conninfo

from code_patterns.errors import ConfigurationError

CONNECT_TIMEOUT_SECONDS = 10
NO_FILE = os.devnull + "/none"
"""A path at which there can be no file."""

PINNED: Mapping[str, str] = {
    # How values look.
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    # A row that the role may not see is an error, not a deleted pattern; pg_dump does the same.
    "row_security": "off",
    # How transactions behave.
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "on",
    # A run takes as long as it takes; what limits it is the task's own time-out.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    # Compiling a plan takes longer than most of these statements run.
    "jit": "off",
}
"""Sent when the session begins. These settings beat those of role and database, and ``RESET`` comes back to them."""


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
                "options": f"{self.options.get('options') or ''} {_as_switches(PINNED)}".strip(),
                "client_encoding": PINNED["client_encoding"],
                "host": self.host,
                "hostaddr": "",
                "port": self.port,
                "dbname": self.database,
                "user": self.user,
                "password": self.password or "",
                # Without a password libpq would look for one in the home of whoever runs the worker.
                "passfile": NO_FILE,
            }
        )

    @property
    def address(self) -> str:
        """The database in words, for messages: connection, host, port and name."""
        return f"connection '{self.conn_id}' ({self.host}:{self.port}/{self.database})"


def _as_switches(settings: Mapping[str, str]) -> str:
    return " ".join("-c {}={}".format(name, value.replace(" ", "\\ ")) for name, value in settings.items())
