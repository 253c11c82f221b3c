"""One connection for a whole run: checked, locked against other runs, and with readable errors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.schema import expected_names
from code_patterns.servers.locks import Lock, holds_blocking, take_blocking
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import Kind, diagnose, explain, quoted
from code_patterns.servers.postgres_inquiry import inquire_blocking
from code_patterns.servers.postgres_psycopg import connect_blocking
from code_patterns.sql import query

log = logging.getLogger(__name__)

LOCK_SPACE = "code_patterns migration"
"""What migration runs lock: there is one such lock in each database."""

LOCK_WAIT_SECONDS = 900.0
"""How long a run waits for another one to finish."""

_SHOWN = 10
"""Most objects that an error names."""


@contextmanager
def explained(
    config: PostgresConfig, connection: psycopg.Connection[Any], doing: str, aftermath: str = ""
) -> Iterator[None]:
    """Turn errors of the database into ones that say what was being done, where and what to do.

    :param connection: the session that may explain an error
    :param doing: what failed, such as "Migration 013 failed"
    :param aftermath: what remains, appended to the message
    """
    try:
        yield
    except psycopg.Error as error:
        inquire_blocking(connection, error)
        fault = diagnose(error)
        if fault is None:
            raise
        parts = [f"{doing} at {config.address}: {fault.said}"]
        parts += [f"Detail: {fault.detail}"] if fault.detail else []
        parts += [f"Hint: {fault.hint}"] if fault.hint else []
        reason = explain(fault, f"PostgreSQL at {config.address}", login=config.user, doing="the statement")
        code = Code.MIGRATION_OBSTRUCTED if fault.kind is Kind.REFUSED else reason.code
        if fault.kind in (Kind.HIDDEN, Kind.LIMIT, Kind.CANCELLED):
            parts = [f"{doing}: {reason.message}"]
        elif fault.kind is Kind.FORBIDDEN:
            code = Code.NOT_THE_OWNER
            parts.append(
                f"Give login '{config.user}' the ownership of that and of the tables named pattern_*, and the right to "
                "create objects in their schema, or use the login of their owner."
            )
        elif isinstance(error, psycopg.errors.LockNotAvailable):
            parts.append("Another session uses the table: wait until it is done, or end it, then run again.")
        parts += [aftermath] if aftermath else []
        text = " ".join(part if part[-1] in ".;!?" else f"{part}." for part in parts)
        kind = OutageError if fault.retryable else ConfigurationError
        raise kind(code, text) from None


@contextmanager
def reading(config: PostgresConfig) -> Iterator[psycopg.Connection[Any]]:
    """Open a connection on which nothing will be changed."""
    with (
        connect_blocking(config, autocommit=True) as connection,
        explained(config, connection, "Reading the schema failed"),
    ):
        yield connection


@contextmanager
def migrating(config: PostgresConfig, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[psycopg.Connection[Any]]:
    """Open a connection and hold the lock of migration runs on it; the server frees it when this process dies.

    :param wait_seconds: how long to wait for another run
    :raises ConfigurationError: this database or login cannot be migrated
    :raises OutageError: another run held the lock for longer than that
    """
    with connect_blocking(config, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: log.info("%s: %s", notice.severity, notice.message_primary))
        with explained(config, connection, "Preparing the migration failed"):
            check(connection, config)
            # The server notices a killed client in the middle of a statement, if its platform can.
            with suppress(psycopg.errors.InvalidParameterValue):
                connection.execute("SET client_connection_check_interval = '2s'")
            take_blocking(connection, _lock(config), wait_seconds)
        yield connection


def check_lock(connection: psycopg.Connection[Any], config: PostgresConfig) -> None:
    """Make sure that this very server process still holds the lock.

    :raises ConfigurationError: it does not, for example behind a pooler that shares server processes
    """
    if not holds_blocking(connection, _lock(config)):
        raise ConfigurationError(
            Code.POOLER_IN_THE_WAY,
            f"The lock of the migration was lost on {config.address}. Migrations need a direct connection: name the "
            "port of the server, not that of a pooler such as PgBouncer in transaction mode.",
        )


def check(connection: psycopg.Connection[Any], config: PostgresConfig) -> None:
    """Make sure that migrations can run here.

    :raises ConfigurationError: a pooler, a read-only server, no schema, or rights that the login lacks in it
    """
    row = connection.execute(query("migration_session")).fetchone()
    if row is None:
        raise ConfigurationError(
            Code.POOLER_IN_THE_WAY, f"{config.address} gave no answer about itself. Does a proxy stand in between?"
        )
    read_only, schema, may_create, ledger_schema, process = row
    if process != connection.info.backend_pid:
        raise ConfigurationError(
            Code.POOLER_IN_THE_WAY,
            f"{config.address} is behind a pooler such as PgBouncer, which may cut off long statements and share the "
            f"lock of the run. Migrations need a direct connection: name the host and port of PostgreSQL itself in "
            f"'{config.conn_id}' for this DAG.",
        )
    if read_only:
        raise ConfigurationError(
            Code.POSTGRES_READ_ONLY,
            f"PostgreSQL at {config.address} takes no changes: it is a standby or set to read-only. Point "
            f"'{config.conn_id}' at the primary.",
        )
    if schema is None:
        raise ConfigurationError(
            Code.SEARCH_PATH_WRONG,
            f"No schema of the search_path of login '{config.user}' exists in {config.address}. Create one, or correct "
            "the search_path.",
        )
    if not may_create:
        raise ConfigurationError(
            Code.NOT_THE_OWNER,
            f"Login '{config.user}' may not create tables in schema {schema} of {config.address}. Run as the owner: "
            f'GRANT USAGE, CREATE ON SCHEMA {schema} TO "{config.user}";',
        )
    if ledger_schema not in (None, schema):
        raise ConfigurationError(
            Code.SEARCH_PATH_WRONG,
            f"{config.address} was migrated in schema {ledger_schema}, but login '{config.user}' creates tables in "
            f"schema {schema}. Put {ledger_schema} first on its search_path.",
        )
    _check_owner(connection, config)


def _check_owner(connection: psycopg.Connection[Any], config: PostgresConfig) -> None:
    relations, functions = expected_names()
    owned = connection.execute(
        query("migration_owners"), {"relations": list(relations), "functions": list(functions)}
    ).fetchall()
    if not owned:
        return
    login = quoted(config.user)
    # To make somebody a member of a superuser would be too much.
    grants = [
        f"GRANT {quoted(owner)} TO {login};" for owner in sorted({who for _, who, is_super in owned if not is_super})
    ]
    changes = [f"ALTER {_in_sql(name)} OWNER TO {login};" for name, _, _ in owned]
    shown = ", ".join(f"{name} (of {owner})" for name, owner, _ in owned[:_SHOWN])
    remedy = " ".join(changes)
    if len(owned) > _SHOWN:
        shown, remedy = f"{len(owned)} objects, such as {shown}", f"the {len(owned)} statements that the log lists"
        log.warning("To make '%s' the owner of each:\n%s", config.user, "\n".join(changes))
    raise ConfigurationError(
        Code.NOT_THE_OWNER,
        f"Login '{config.user}' does not own what migrations change in {config.address}: {shown}. Use the login of the "
        f"owner, or let a superuser run {' '.join(grants) + ' or ' if grants else ''}{remedy}",
    )


def _in_sql(name: str) -> str:
    kind, _, rest = name.partition(" ")
    return f"{kind.upper()} {rest}"


def _lock(config: PostgresConfig) -> Lock:
    return Lock(LOCK_SPACE, "", holder="migration run", subject=config.address)
