"""What can go wrong with one request; none of these leaves this package."""

from enum import Enum, auto


class Trouble(Enum):
    """How a request failed."""

    UNREACHABLE = auto()
    """No connection: name, address, port, or what stands between."""
    BUSY = auto()
    """The server said it has too much to do, or did not answer in time. Says nothing about the input."""
    FAILING = auto()
    """The server took the request and stumbled: 5xx, or a connection dropped in the middle."""
    UNREADABLE = auto()
    """The answer is not what this protocol answers."""


class DoubtError(Exception):
    """A request failed, and the input may be to blame.

    :cvar answered_before: how many requests the server had answered when this one was sent
    """

    answered_before = 0


class TemporaryError(DoubtError):
    """A request failed in a way that may pass.

    :param kind: how
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
    """The server will not do this request, now or later."""


class MisconfiguredError(Exception):
    """A person has to change something before any request can succeed.

    :param reason: what is wrong, as the end of a sentence
    :param remedy: what to do about it, as sentences
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class UnusableVectorsError(DoubtError):
    """The answer is well formed, but a vector in it is not finite or all zeros."""
