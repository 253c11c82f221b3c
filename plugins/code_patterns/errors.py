"""Errors with messages for the person who reads the task log.

Every message says what is wrong, where (the connection, Variable, table or collection by name), and what to do, and
ends with a code of docs/runbook.md. No message holds a password or an API key. What servers, rows and events have put
into a message is harmless in a log, in a terminal and on a page: here is the one place through which all of it goes.
"""

from typing import TypeVar

from code_patterns.codes import Code
from code_patterns.printable import LONGEST, printable

Error = TypeVar("Error", bound=BaseException)


class PatternsError(Exception):
    """Base of every error that this project raises on purpose. As a text, it is its message and its code.

    :param code: what went wrong, for the runbook
    :param message: what is wrong, where, and what to do
    :cvar retryable: whether the same task may succeed later although nobody changes anything
    :cvar most_tries: how often it is tried at most; ``None`` leaves that to the task
    """

    retryable = False
    most_tries: int | None = None

    # The base class keeps the arguments, by which an error can be pickled.
    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        self.message = printable(message, LONGEST)

    def __str__(self) -> str:
        """The message, and its code."""
        return f"{self.message} [{self.code}]"

    def may_be_retried(self, tries: int) -> bool:
        """Whether to try again.

        :param tries: how often it was tried
        """
        return self.retryable and (self.most_tries is None or tries < self.most_tries)


class ConfigurationError(PatternsError):
    """A person must change something first; trying again does not help."""


class OutageError(PatternsError):
    """A server did not answer, or cannot serve now; trying again later may help.

    :param code: what went wrong
    :param message: what is wrong, where, and what to do
    :param tried: how often the same was tried already, in one sentence; empty if nobody counted
    """

    retryable = True

    def __init__(self, code: Code, message: str, tried: str = "") -> None:
        super().__init__(code, f"{message} {tried}" if tried else message)
        self.tried = tried


class ParityError(PatternsError):
    """A proof found that PostgreSQL and Qdrant disagree, or could not read both whole.

    The second try repairs what it finds. If both disagree again, something else writes, and a person must find it.
    """

    retryable = True
    most_tries = 2


class NothingToDoError(PatternsError):
    """There is nothing to do in this run; the task is skipped and does not fail."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.NOTHING_TO_DO, message)


class StoppedError(PatternsError):
    """Airflow stopped the task, for example because its worker shuts down."""

    retryable = True

    def __init__(self, message: str) -> None:
        super().__init__(Code.STOPPED, message)


def without_frames(error: Error) -> Error:
    """Take the tracebacks from a foreign error, and from all that led to it.

    Drivers raise errors whose frames hold these errors. With the bodies of requests and answers they would stay in a
    service's memory until Python collects all its objects, which may take hours.

    :return: the same error
    """
    left: list[BaseException | None] = [error]
    seen: set[BaseException] = set()
    while left:
        one = left.pop()
        if one is not None and one not in seen:
            seen.add(one)
            one.__traceback__ = None
            left += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                left += one.exceptions
    return error
