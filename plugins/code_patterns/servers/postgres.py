"""Where the PostgreSQL database is that holds the patterns, and how its sessions are set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.conninfo import make_conninfo

from code_patterns.errors import ConfigurationError

CONNECT_TIMEOUT_SECONDS = 10

SESSION_SETTINGS: Mapping[str, str] = {
    # Compiling a plan takes longer than most of these statements run.
    "jit": "off",
}
"""Settings of every session, whichever driver opens it."""


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
        settings = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
        return make_conninfo(
            **{
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "code_patterns",
                **self.options,
                "options": f"{settings} {self.options.get('options') or ''}".strip(),
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
