"""What an error of PostgreSQL means and what to do, whichever driver raised it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import psycopg

from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.servers.postgres import PostgresConfig


class Kind(Enum):
    """The kinds of errors."""

    AWAY = auto()
    """The connection broke, or the server is starting or stopping. A change may or may not have been made."""
    BUSY = auto()
    """The server cannot do it now: deadlock, conflict, lock, statement time-out, no free slot, full disk."""
    INCOMPLETE = auto()
    """A table, column, function or schema is missing."""
    FORBIDDEN = auto()
    """The role lacks a right."""
    READ_ONLY = auto()
    """The server or the session is read-only."""
    LOGIN = auto()
    """The server does not let this role into this database."""
    REFUSED = auto()
    """The statement or its data are wrong."""


_KIND_OF_STATE = {
    "25006": Kind.READ_ONLY,
    "3D000": Kind.LOGIN,
    "3F000": Kind.INCOMPLETE,
    "42501": Kind.FORBIDDEN,
    "42703": Kind.INCOMPLETE,
    "42883": Kind.INCOMPLETE,
    "42P01": Kind.INCOMPLETE,
    "57P01": Kind.AWAY,
    "57P02": Kind.AWAY,
    "57P03": Kind.AWAY,
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


@dataclass(frozen=True)
class Fault:
    """One error of PostgreSQL or of the network to it.

    :param kind: its kind
    :param said: message of the server or the driver, on one line, without a full stop at the end
    :param detail: detail of the server
    :param hint: hint of the server
    """

    kind: Kind
    said: str
    detail: str = ""
    hint: str = ""

    @property
    def retryable(self) -> bool:
        """Whether the same may succeed later although nobody changes anything."""
        return self.kind in (Kind.AWAY, Kind.BUSY)


def diagnose(error: BaseException) -> Fault | None:
    """Diagnose an error; ``None`` if it comes neither from PostgreSQL nor from the network to it.

    :param error: an error of psycopg, asyncpg or the network
    """
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        kind = _KIND_OF_STATE.get(state) or _KIND_OF_CLASS.get(state[:2]) or Kind.REFUSED
        # psycopg keeps the server's message in ``diag``, asyncpg in the error itself.
        said: Any = getattr(error, "diag", error)
        return Fault(
            kind,
            _line(getattr(said, "message_primary", None) or str(error)) or type(error).__name__,
            _line(getattr(said, "message_detail", None) or getattr(said, "detail", None) or ""),
            _line(getattr(said, "message_hint", None) or getattr(said, "hint", None) or ""),
        )
    if isinstance(error, TimeoutError):
        return Fault(Kind.BUSY, "no answer within the time-out of a statement")
    said = _line(str(error)) or type(error).__name__
    if isinstance(error, psycopg.OperationalError | OSError):
        return Fault(Kind.AWAY, said)
    if isinstance(error, psycopg.Error):
        return Fault(Kind.REFUSED, said)
    return Fault(Kind.AWAY, said) if _is_of_asyncpg(error) else None


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
        return OutageError(f"{server} went away during {doing}: {said}. {if_away}".rstrip())
    if fault.kind is Kind.BUSY:
        return OutageError(f"{server} could not do it now: {said}. Try again.")
    if fault.kind is Kind.INCOMPLETE:
        return ConfigurationError(f"{server} lacks what {doing} needs: {said}. Run schema_migration first.")
    if fault.kind is Kind.FORBIDDEN:
        return ConfigurationError(
            f"{server} does not let {role} do this: {said}. Grant it the right, or use another login."
        )
    if fault.kind is Kind.READ_ONLY:
        return ConfigurationError(
            f"{server} cannot be written: {said}, as on a replica. Name the primary server: what runs remember is "
            "kept beside the patterns."
        )
    if fault.kind is Kind.LOGIN:
        return ConfigurationError(f"{server} refused the login: {said}. Check database, login and password.")
    return ConfigurationError(f"{server} refused it: {said}.")


def connection_failure(config: PostgresConfig, error: Exception, cause: Exception | None) -> PatternsError:
    """Make an error of a failed connect or login, with a message for people.

    :param config: the database
    :param error: the driver's error, for the message
    :param cause: the reason: an error with an SQLSTATE, or of the network; ``None`` if the server answers by now
    :return: :class:`ConfigurationError` if a person must act (wrong password, no such database, a certificate),
        :class:`OutageError` if the server may come back or have room again
    """
    reason = "no answer in time" if isinstance(error, TimeoutError) else _line(str(error)).rstrip("?")
    text = f"PostgreSQL refused {config.address}: {reason or type(error).__name__}"
    fault = None if cause is None else diagnose(cause)
    if cause is None or (fault and fault.retryable and not _for_a_person(config, cause)):
        return OutageError(f"{text}. It may serve again shortly. Check host, port and its log if it does not.")
    fields = "host, port, database, login and password"
    if str(config.options.get("sslmode", "")).startswith("verify"):
        fields += ", and the extras 'sslmode' and 'sslrootcert',"
    return ConfigurationError(f"{text}. Check {fields} of '{config.conn_id}'.")


def _for_a_person(config: PostgresConfig, cause: Exception) -> bool:
    """Whether a failure of the network, or on this side of it, stays until a person acts."""
    import asyncpg

    if isinstance(cause, ssl.SSLError | PermissionError | asyncpg.ClientConfigurationError):
        return True
    # asyncpg raises this for a server that does not speak TLS; errors of the network are subclasses.
    return type(cause) is ConnectionError and config.options.get("sslmode") in ("require", "verify-ca", "verify-full")


@asynccontextmanager
async def database_errors(config: PostgresConfig) -> AsyncIterator[None]:
    """Replace psycopg's errors by errors that name the connection and the remedy.

    An error of a statement or its data (:attr:`Kind.REFUSED`) is not replaced: only the caller knows whose data these
    are.
    """
    try:
        yield
    except psycopg.Error as error:
        fault = diagnose(error)
        if fault is None or fault.kind is Kind.REFUSED:
            raise
        raise explain(
            fault,
            f"PostgreSQL at {config.address}",
            login=config.user,
            doing="the run",
            if_away="What was recorded stands; the next try goes on from there.",
        ) from None
