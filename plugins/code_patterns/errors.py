"""Errors with messages for the person who reads the task log.

Every message says what is wrong, where (the connection, Variable, table or collection by name), and what to do. No
message holds a password or an API key.
"""


class PatternsError(Exception):
    """Base of every error that this project raises on purpose.

    :cvar retryable: whether the same task may succeed later although nobody changes anything
    :cvar most_tries: how often it is tried at most; ``None`` leaves that to the task
    """

    retryable = False
    most_tries: int | None = None

    def may_be_retried(self, tries: int) -> bool:
        """Whether to try again.

        :param tries: how often it was tried
        """
        return self.retryable and (self.most_tries is None or tries < self.most_tries)


class ConfigurationError(PatternsError):
    """A person must change something first; trying again does not help."""


class OutageError(PatternsError):
    """A server did not answer, or cannot serve now; trying again later may help.

    :param message: what is wrong, where, and what to do
    :param tried: how often the same was tried already, in one sentence; empty if nobody counted
    """

    retryable = True

    def __init__(self, message: str, tried: str = "") -> None:
        super().__init__(f"{message} {tried}" if tried else message)
        self.tried = tried


class ParityError(PatternsError):
    """A proof found that PostgreSQL and Qdrant disagree, or could not read both whole.

    The second try repairs what it finds. If both disagree again, something else writes, and a person must find it.
    """

    retryable = True
    most_tries = 2


class NothingToDoError(PatternsError):
    """There is nothing to do in this run; the task is skipped and does not fail."""


class StoppedError(PatternsError):
    """Airflow stopped the task, for example because its worker shuts down."""

    retryable = True
