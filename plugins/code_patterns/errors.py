"""Errors whose text is written for the person who reads the task log.

Every message says what is wrong, where (the connection, Variable, table or collection by name), and what
to do about it. No message ever holds a password or an API key.
"""


class PatternsError(Exception):
    """Base of every error this project raises on purpose.

    :cvar retryable: whether the same task may succeed later although nobody changed anything
    """

    retryable = False


class ConfigurationError(PatternsError):
    """Something a person must change first; trying again will not help."""


class OutageError(PatternsError):
    """A server did not answer or answered that it cannot serve now; trying again later may help."""

    retryable = True


class ParityError(PatternsError):
    """PostgreSQL and Qdrant do not agree at the end of a full sync; the next one repairs what it finds."""

    retryable = True


class NothingToDoError(PatternsError):
    """What was asked for has no sense in this run; the task is skipped, not failed."""
