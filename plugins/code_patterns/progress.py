"""Log the progress of a run."""

import logging
import time

log = logging.getLogger(__name__)

FIRST_LINE_SECONDS = 10.0
LINE_SECONDS = 30.0


class ProgressLog:
    """Logs the progress of a run: a line after ten seconds, then one every thirty.

    :param what: what the run examines, in the plural
    :param total: most items
    """

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._start = time.monotonic()
        self._next = self._start + FIRST_LINE_SECONDS

    def show(self, done: int, **outcomes: int) -> None:
        """Log a line if it is time for one.

        :param done: items examined so far
        :param outcomes: counts by outcome
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LINE_SECONDS
        rate = done / (now - self._start)
        left = max(self._total - done, 0) / rate if rate else 0.0
        log.info(
            "%s of %s %s looked at (%.0f %%), %.0f per second, about %s left; %s.",
            f"{done:,}",
            f"{self._total:,}",
            self._what,
            100 * done / self._total if self._total else 100,
            rate,
            _duration(left),
            ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items()),
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
