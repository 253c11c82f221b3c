"""Wait at the start of a run for servers that are down."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from code_patterns.errors import OutageError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0
"""Default seconds that a run waits at its start; Airflow's retries follow."""
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 60.0

Opened = TypeVar("Opened")


async def patiently(
    attempt: Callable[[], Awaitable[Opened]], patience: float, first_wait: float = FIRST_WAIT_SECONDS
) -> Opened:
    """Try to open what a run needs; try again after an outage, and fail at once after any other error.

    Each wait is twice as long as the one before, by default about 5, 10, 20, 40 and then 60 seconds. Each is logged in
    one line.

    :param attempt: opens everything, or nothing
    :param patience: seconds after which no new attempt starts; 0 tries once
    :param first_wait: seconds before the second attempt
    :raises OutageError: a server was down all that time; the text says how often it was tried and why the last try
        failed
    """
    started, tries = time.monotonic(), 0
    while True:
        tries += 1
        try:
            return await attempt()
        except OutageError as error:
            waited = time.monotonic() - started
            wait = min(LONGEST_WAIT_SECONDS, first_wait * 2.0 ** (tries - 1))
            # Tasks that wait for the same server must not all come back at once.
            wait = min(wait * random.uniform(0.8, 1.2), patience - waited)  # noqa: S311 (spreads requests, guards no secret)
            if wait <= 0:
                how_often = "once" if tries == 1 else f"{tries} times in {waited:.0f} s"
                raise OutageError(error.code, error.message, f"Tried {how_often} at the start of the run.") from None
            log.warning(
                "%s Try %d follows in %.0f s, the last one in %.0f s.", error, tries + 1, wait, patience - waited
            )
        await asyncio.sleep(wait)
