"""What can go wrong with one request; none of these leaves this package."""

from enum import Enum, auto


class Trouble(Enum):
    """How a request failed."""

    UNREACHABLE = auto()
    """No connection: name, address, port, certificate."""
    BUSY = auto()
    """The server said it has too much to do, or did not answer in time. Says nothing about the input."""
    FAILING = auto()
    """The server took the request and stumbled: 5xx, or a connection dropped in the middle."""
    UNREADABLE = auto()
    """The answer is not what this protocol answers."""


class TemporaryError(Exception):
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


class RefusedRequestError(Exception):
    """The server will not do this request, now or later."""


class UnusableVectorsError(Exception):
    """The answer is well formed, but a vector in it is not finite or all zeros."""
