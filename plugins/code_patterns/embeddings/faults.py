"""The errors of one request; none of them leaves this package."""

from enum import Enum, auto

from code_patterns.codes import Code


class Trouble(Enum):
    """How a request failed."""

    UNREACHABLE = auto()
    """No connection: name, address, port, proxy or network."""
    BUSY = auto()
    """The server is overloaded, or it or a proxy gave up waiting: 429, 503, 504. The input is not to blame."""
    FAILING = auto()
    """The server took the request and failed: 500 and the like, or the connection broke."""
    UNREADABLE = auto()
    """The answer does not follow the protocol."""


class DoubtError(Exception):
    """A request failed, and the input may be the cause.

    :cvar answered_before: requests that the server had answered when this one was sent
    """

    answered_before = 0


class TemporaryError(DoubtError):
    """A request failed, and asking again may help.

    :param kind: how it failed
    :param reason: what happened, as the end of a sentence
    :param retry_after: seconds the server asked to wait, or ``None``
    :param overload: fewer requests at once may help
    """

    def __init__(self, kind: Trouble, reason: str, *, retry_after: float | None = None, overload: bool = False) -> None:
        super().__init__(reason)
        self.kind = kind
        self.retry_after = retry_after
        self.overload = overload

    @property
    def input_possible(self) -> bool:
        """Whether the input itself may be the cause."""
        return self.kind in (Trouble.FAILING, Trouble.UNREADABLE)


class RefusedRequestError(DoubtError):
    """The server refuses this request, now and later."""


class MisconfiguredError(Exception):
    """A person must change something before any request can succeed.

    :param reason: what is wrong, as the end of a sentence
    :param remedy: what to do, as sentences
    :param code: what went wrong, for the runbook
    """

    def __init__(self, reason: str, remedy: str, code: Code = Code.EMBEDDINGS_REFUSED) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.code = code


class UnusableVectorsError(DoubtError):
    """The answer is well formed, but a vector in it is not finite, or is all zeros."""
