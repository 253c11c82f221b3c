"""The three logins of ``include/deploy/roles.sql``, for tests to run as."""

from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from code_patterns.servers.postgres import PostgresConfig

ROLES_SQL = Path(__file__).resolve().parents[2] / "include" / "deploy" / "roles.sql"
MIGRATOR = "patterns_migrator"
SYNC = "patterns_sync"
READER = "patterns_reader"
PASSWORD = "of-the-tests-only"
_LOCK = 7_461_225


def make_roles(server: str, database: str) -> None:
    """Make the logins, let them into a database, and give them a password; workers of pytest do it one after another.

    :param server: DSN of the maintenance database
    :param database: DSN of the database
    """
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        grant(database)
        for role in (MIGRATOR, SYNC, READER):
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), PASSWORD))


def grant(database: str) -> None:
    """Run ``roles.sql`` in a database, as its administrator does after each migration.

    :param database: DSN of the administrator
    """
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(ROLES_SQL.read_bytes())


def logged_in(config: PostgresConfig, role: str, administrator: str | None = None) -> PostgresConfig:
    """The same database for another login; a login that a test made for itself stays.

    :param role: one of the three
    :param administrator: the login that is replaced; ``None`` for any
    """
    if administrator is not None and config.user != administrator:
        return config
    return replace(config, user=role, password=PASSWORD)


def login_of(dsn: str) -> str:
    """The login that a DSN names."""
    return str(conninfo_to_dict(dsn)["user"])
