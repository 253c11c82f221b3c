"""Say in one sentence why an operation failed."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from code_patterns.errors import PatternsError
from pattern_learning.values import Refusal

_KEY = re.compile(r"\(([^()]+)\)=\((.*?)\)")
_AGAIN = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
)
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,
    OSError,
)


@dataclass(frozen=True)
class Failure:
    """Why an operation failed.

    :param text: the reason, for people
    :param retryable: whether the same call may succeed later although nobody changed anything
    :param expected: whether it is a mistake or an outage, and not a fault of this package
    """

    text: str
    retryable: bool = False
    expected: bool = True


def explain(error: Exception) -> Failure:
    """Explain what ended an operation."""
    if isinstance(error, Refusal):
        return Failure(str(error))
    if isinstance(error, PatternsError):
        return Failure(str(error), error.retryable)
    if isinstance(error, TimeoutError):
        return Failure("PostgreSQL did not answer within the pool's command_timeout. Try again later.", retryable=True)
    if isinstance(error, _AGAIN):
        return Failure(f"PostgreSQL could not do it now: {_sentence(error)} Try again.", retryable=True)
    # The client's word for a connection that broke under a statement; of a closed pool it says "pool is closed".
    broken = isinstance(error, asyncpg.InterfaceError) and "pool" not in str(error)
    if broken or isinstance(error, _LOST):
        return Failure(
            f"The connection to PostgreSQL was lost: {_sentence(error)} A change that was under way may or may not "
            "have been made; look before you repeat it.",
            retryable=True,
        )
    if isinstance(error, asyncpg.InterfaceError):
        return Failure(f"The pool cannot be used: {_sentence(error)} Open it with PatternDatabaseManager.initialize().")
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedFunctionError | asyncpg.UndefinedColumnError):
        return Failure(f"The database lacks something: {_sentence(error)} Run schema_migration first.")
    if isinstance(error, asyncpg.PostgresError):
        return Failure(f"PostgreSQL refused it: {_sentence(error)}")
    return Failure(f"{type(error).__name__}: {error}", expected=False)


def unknown_template(pattern_id: UUID) -> Refusal:
    """Say that there is no such template."""
    return Refusal(f"pattern_id is {pattern_id}, but there is no template with this id: pattern not found.")


def violated_key(error: asyncpg.IntegrityConstraintViolationError) -> tuple[str, str]:
    """Return columns and values of the key that a statement violated, whatever language the server speaks.

    PostgreSQL writes ``Key (a, b)=(1, 2) already exists.`` and translates all but the parentheses.
    """
    found = _KEY.search(getattr(error, "detail", None) or "")
    return (found[1], found[2]) if found else ("", "")


def _sentence(error: Any) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text}." if text else f"{type(error).__name__}."
