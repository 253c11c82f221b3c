"""What an error of PostgreSQL means and what to do, whichever driver raised it."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import psycopg

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_inquiry import CANCELLED, circumstances_of, inquire, is_unasked


class Kind(Enum):
    """The kinds of errors."""

    AWAY = auto()
    """The connection broke, or the server is starting or stopping. A change may or may not have been made."""
    BUSY = auto()
    """The server cannot do it now: deadlock, conflict, lock, no free slot, full disk."""
    CANCELLED = auto()
    """Somebody cancelled the statement."""
    LIMIT = auto()
    """A limit of the server ended the statement or the session."""
    INCOMPLETE = auto()
    """A table, column, function or schema is missing."""
    FORBIDDEN = auto()
    """The role lacks a right."""
    HIDDEN = auto()
    """Row-level security hides rows from the role."""
    READ_ONLY = auto()
    """The server or the session is read-only."""
    LOGIN = auto()
    """The server does not let this role into this database."""
    REFUSED = auto()
    """The statement or its data are wrong."""


_KIND_OF_STATE = {
    "25006": Kind.READ_ONLY,
    "25P03": Kind.LIMIT,
    "25P04": Kind.LIMIT,
    "3D000": Kind.LOGIN,
    "3F000": Kind.INCOMPLETE,
    "42501": Kind.FORBIDDEN,
    "42703": Kind.INCOMPLETE,
    "42883": Kind.INCOMPLETE,
    "42P01": Kind.INCOMPLETE,
    "53400": Kind.LIMIT,
    "57P01": Kind.AWAY,
    "57P02": Kind.AWAY,
    "57P03": Kind.AWAY,
    "57P05": Kind.LIMIT,
}
_KIND_OF_CLASS = {
    "08": Kind.AWAY,
    "28": Kind.LOGIN,
    "40": Kind.BUSY,
    "53": Kind.BUSY,
    "55": Kind.BUSY,
    "57": Kind.BUSY,
    "58": Kind.BUSY,
}
"""By the first two characters of the SQLSTATE, if the whole one is not listed; all others are ``REFUSED``."""

_SETTING_OF_STATE = {
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "53400": "temp_file_limit",
    "55P03": "lock_timeout",
    "57014": "statement_timeout",
    "57P05": "idle_session_timeout",
}


@dataclass(frozen=True)
class Fault:
    """One error of PostgreSQL or of the network to it.

    :param kind: its kind
    :param said: message of the server or the driver, on one line, without a full stop at the end
    :param detail: detail of the server
    :param hint: hint of the server
    :param setting: the limit that is the cause, with its value if it is known
    :param hidden: tables of which row-level security hides rows from the role
    :param where: the constraint, or the function and its line, that raised the error; empty if the server names none
    """

    kind: Kind
    said: str
    detail: str = ""
    hint: str = ""
    setting: str = ""
    hidden: tuple[str, ...] = ()
    where: str = ""

    @property
    def retryable(self) -> bool:
        """Whether the same may succeed later although nobody changes anything."""
        return self.kind in (Kind.AWAY, Kind.BUSY, Kind.CANCELLED)


def diagnose(error: BaseException) -> Fault | None:
    """Diagnose an error; ``None`` if it comes neither from PostgreSQL nor from the network to it.

    :param error: an error of psycopg, asyncpg or the network
    """
    state, found = getattr(error, "sqlstate", None), circumstances_of(error)
    state = state or (found and found.state)
    if isinstance(state, str):
        kind, setting, hidden = _cause(error, state)
        # psycopg keeps the server's message in ``diag``, asyncpg in the error itself, whose text has the detail too. In
        # that the server quotes whole rows.
        said: Any = getattr(error, "diag", error)
        primary = getattr(said, "message_primary", None) or getattr(said, "message", None)
        return Fault(
            kind,
            _line(primary or str(error)) or type(error).__name__,
            _line(getattr(said, "message_detail", None) or getattr(said, "detail", None) or ""),
            _line(getattr(said, "message_hint", None) or getattr(said, "hint", None) or ""),
            setting,
            hidden,
            _where(said),
        )
    if isinstance(error, TimeoutError):
        return Fault(Kind.BUSY, "no answer within the time-out of a statement")
    said = _line(str(error)) or type(error).__name__
    if isinstance(error, psycopg.OperationalError | OSError):
        return Fault(Kind.AWAY, said)
    if isinstance(error, psycopg.Error):
        return Fault(Kind.REFUSED, said)
    return Fault(Kind.AWAY, said) if _is_of_asyncpg(error) else None


def _where(said: Any) -> str:
    if constraint := getattr(said, "constraint_name", None):
        return f"constraint {constraint} of {getattr(said, 'table_name', None)}"
    return (getattr(said, "context", None) or "").partition("\n")[0]


def _cause(error: BaseException, state: str) -> tuple[Kind, str, tuple[str, ...]]:
    """Return the kind of an error, the limit that is the cause, and the tables that hide rows."""
    kind = _KIND_OF_STATE.get(state) or _KIND_OF_CLASS.get(state[:2]) or Kind.REFUSED
    setting, found = _SETTING_OF_STATE.get(state, ""), circumstances_of(error)
    if kind is Kind.LIMIT or found is None:
        return kind, setting if kind is Kind.LIMIT else "", ()
    if kind is Kind.FORBIDDEN and found.hidden:
        return Kind.HIDDEN, "", found.hidden
    limit = f"{setting} ({found.limits[setting]})" if setting in found.limits else ""
    if state == CANCELLED:
        return Kind.LIMIT if limit else Kind.CANCELLED, limit, ()
    return kind, limit, ()


def _is_of_asyncpg(error: BaseException) -> bool:
    # The sync does not use asyncpg; importing it takes longer than comparing a thousand patterns.
    import asyncpg

    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError)


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def explain(fault: Fault, server: str, *, login: str = "", doing: str = "this", if_away: str = "") -> PatternsError:
    """Make an error with a message for people.

    :param fault: what happened
    :param server: the server, as the subject of a sentence
    :param login: the role, if it is known
    :param doing: what failed, such as "the run"
    :param if_away: what a person should know if the connection broke
    """
    said = fault.said
    role = f"the role '{login}'" if login else "the role of this connection"
    if fault.kind is Kind.AWAY:
        return OutageError(Code.POSTGRES_AWAY, f"{server} went away during {doing}: {said}. {if_away}".rstrip())
    if fault.kind is Kind.BUSY:
        limit = f", by the setting {fault.setting}" if fault.setting else ""
        return OutageError(Code.POSTGRES_BUSY, f"{server} could not do it now: {said}{limit}. Try again.")
    if fault.kind is Kind.CANCELLED:
        return OutageError(
            Code.STATEMENT_CANCELLED,
            f"{server} cancelled {doing}: {said}. The session has no statement_timeout, so somebody did it, as with "
            "pg_cancel_backend, or a limit that held only inside the transaction. Try again.",
        )
    if fault.kind is Kind.LIMIT:
        off = -1 if fault.setting == "temp_file_limit" else 0
        return ConfigurationError(
            Code.STATEMENT_LIMITED,
            f"{server} ended {doing} by the setting {fault.setting}: {said}. The same would happen again: set it to "
            f"{off} for {role}, or where else it comes from, such as a trigger's function or a pooler.",
        )
    if fault.kind is Kind.HIDDEN:
        return hidden_rows(fault.hidden, server, login)
    if fault.kind is Kind.INCOMPLETE:
        return ConfigurationError(
            Code.SCHEMA_INCOMPLETE, f"{server} lacks what {doing} needs: {said}. Run schema_migration first."
        )
    if fault.kind is Kind.FORBIDDEN:
        return ConfigurationError(
            Code.POSTGRES_RIGHT_MISSING,
            f"{server} does not let {role} do this: {said}. Grant it the right, or use another login.",
        )
    if fault.kind is Kind.READ_ONLY:
        return ConfigurationError(
            Code.POSTGRES_READ_ONLY,
            f"{server} cannot be written: {said}, as on a replica. Name the primary server: what runs remember is "
            "kept beside the patterns.",
        )
    if fault.kind is Kind.LOGIN:
        return ConfigurationError(
            Code.POSTGRES_LOGIN_REFUSED, f"{server} refused the login: {said}. Check database, login and password."
        )
    where = f" ({fault.where})" if fault.where else ""
    return ConfigurationError(
        Code.STATEMENT_REFUSED,
        f"{server} refused {doing}: {said}{where}. Remove the cause, such as a trigger or constraint of another "
        "program.",
    )


def hidden_rows(tables: Sequence[str], server: str, login: str = "") -> ConfigurationError:
    """Make the error for a role that may not see every row.

    :param tables: tables of which row-level security hides rows
    :param server: the server, as the subject of a sentence
    :param login: the role, if it is known
    """
    role = f"the role '{login}'" if login else "the role of this connection"
    return ConfigurationError(
        Code.ROWS_HIDDEN,
        f"{server} may hide rows of {' and '.join(tables)} from {role}: row-level security. To work on the rest "
        "would be wrong. Use the role that owns the tables, or let this one see all rows: ALTER ROLE "
        f"{quoted(login) if login else '...'} BYPASSRLS;",
    )


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def connection_failure(config: PostgresConfig, error: Exception, cause: Exception | None) -> PatternsError:
    """Make an error of a failed connect or login, with a message for people.

    :param config: the database
    :param error: the driver's error, for the message
    :param cause: the reason: an error with an SQLSTATE, or of the network, or one that says it already; ``None`` if the
        server answers by now
    :return: :class:`ConfigurationError` if a person must act (wrong password, no such database, a certificate),
        :class:`OutageError` if the server may come back or have room again
    """
    if isinstance(cause, PatternsError):
        return cause
    reason = "no answer in time" if isinstance(error, TimeoutError) else _line(str(error)).rstrip("?")
    text = f"PostgreSQL refused {config.address}: {reason or type(error).__name__}"
    fault = None if cause is None else diagnose(cause)
    if fault and fault.kind is Kind.BUSY and not isinstance(cause, TimeoutError):
        return OutageError(
            Code.POSTGRES_BUSY, f"{text}. It has nothing left for another session: end some, or raise its limits."
        )
    if cause is None or (fault and fault.retryable and not _for_a_person(config, cause)):
        return OutageError(
            Code.POSTGRES_AWAY, f"{text}. It may serve again shortly. Check host, port and its log if it does not."
        )
    fields = "host, port, database, login and password"
    if str(config.options.get("sslmode", "")).startswith("verify"):
        fields += ", and the extras 'sslmode' and 'sslrootcert',"
    return ConfigurationError(Code.POSTGRES_LOGIN_REFUSED, f"{text}. Check {fields} of '{config.conn_id}'.")


def _for_a_person(config: PostgresConfig, cause: Exception) -> bool:
    """Whether a failure of the network, or on this side of it, stays until a person acts."""
    import asyncpg

    if isinstance(cause, ssl.SSLError | PermissionError | asyncpg.ClientConfigurationError):
        return True
    # asyncpg raises this for a server that does not speak TLS; errors of the network are subclasses.
    return type(cause) is ConnectionError and config.options.get("sslmode") in ("require", "verify-ca", "verify-full")


@asynccontextmanager
async def database_errors(config: PostgresConfig, connection: psycopg.AsyncConnection) -> AsyncIterator[None]:
    """Replace psycopg's errors by errors that name the connection and the remedy.

    An error that only the session can explain passes while a failed transaction is open: it is replaced where this
    stands around the transaction.
    """
    try:
        yield
    except psycopg.Error as error:
        if is_unasked(connection, error):
            raise
        await inquire(connection, error)
        fault = diagnose(error)
        if fault is None or (fault.kind is Kind.REFUSED and error.sqlstate is None):
            # No server has refused anything: it is a fault of this program, and its stack belongs in the log.
            raise
        raise explain(
            fault,
            f"PostgreSQL at {config.address}",
            login=config.user,
            doing="the run",
            if_away="What was recorded stands; the next try goes on from there.",
        ) from None
