"""When to repeat a request, and how long to wait before."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from tenacity import AsyncRetrying, RetryCallState, retry_base


@dataclass(frozen=True)
class RetryPolicy:
    """When to give a request up; all times are in seconds.

    :param attempts: most attempts
    :param total: no attempt starts later than this, except the second: a timeout longer than this is retried too
    :param first_wait: wait before the second attempt; doubles with each attempt
    :param longest_wait: the longest wait, whatever ``Retry-After`` says
    """

    attempts: int = 5
    total: float = 60.0
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def retrying(
        self,
        retry: retry_base,
        before_sleep: Callable[[RetryCallState], None] | None = None,
    ) -> AsyncRetrying:
        """Return a caller that repeats a call by this policy, and at the end raises its last error.

        :param retry: which errors are temporary; a tenacity ``retry``
        :param before_sleep: called before each wait
        """
        return AsyncRetrying(retry=retry, wait=self.wait, stop=self.stop, before_sleep=before_sleep, reraise=True)

    def wait(self, state: RetryCallState) -> float:
        """Exponential backoff with jitter, at least what the server asked for; a tenacity ``wait``."""
        backoff = self.first_wait * 2.0 ** (state.attempt_number - 1)
        error = state.outcome.exception() if state.outcome else None
        asked: float | None = getattr(error, "retry_after", None)
        # Full jitter could be shorter than Retry-After, so the random part is added to the larger of the two.
        jitter = random.uniform(0, backoff / 2)  # noqa: S311 (spreads requests, guards no secret)
        return min(self.longest_wait, max(backoff / 2, asked or 0) + jitter)

    def stop(self, state: RetryCallState) -> bool:
        """Whether to give up; a tenacity ``stop``."""
        if state.attempt_number >= self.attempts:
            return True
        elapsed = state.seconds_since_start or 0
        return state.attempt_number >= 2 and elapsed + state.upcoming_sleep > self.total


def retry_after_seconds(header: str | None) -> float | None:
    """Read a ``Retry-After`` header, which holds seconds or an HTTP date (RFC 9110, section 10.2.3).

    :return: seconds from now, at least 0, or ``None`` if there is no such header or it cannot be read
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - time.time()
    return max(0.0, seconds) if seconds < float("inf") else None
