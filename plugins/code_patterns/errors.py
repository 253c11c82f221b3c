"""Errors with messages for the person who reads the task log.

Every message says what is wrong, where (the connection, Variable, table or collection by name), and what to do. No
message holds a password or an API key.
"""


class PatternsError(Exception):
    """Base of every error that this project raises on purpose.

    :cvar retryable: whether the same task may succeed later although nobody changes anything
    """

    retryable = False


class ConfigurationError(PatternsError):
    """A person must change something first; trying again does not help."""


class OutageError(PatternsError):
    """A server did not answer, or cannot serve now; trying again later may help."""

    retryable = True


class ParityError(PatternsError):
    """PostgreSQL and Qdrant disagree at the end of a full sync; the next one repairs what it finds."""

    retryable = True


class NothingToDoError(PatternsError):
    """There is nothing to do in this run; the task is skipped and does not fail."""
