"""Limit the requests in flight; lower the limit while the server is overloaded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Slot:
    """One request's turn.

    :param round: how often the limit had been lowered when the request started
    """

    round: int


class AdaptiveLimit:
    """Additive increase, multiplicative decrease (the congestion rule of TCP, RFC 5681).

    :param most: the limit while nothing is overloaded
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._busy = 0
        self._round = 0
        self._freed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """The present limit."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a turn, and keep it inside the ``async with``."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._busy < self.limit)
            self._busy += 1
        try:
            yield Slot(self._round)
        finally:
            self._busy -= 1
            async with self._freed:
                self._freed.notify_all()

    def succeeded(self) -> None:
        """Raise the limit by one for every round of successes, up to the most."""
        self._limit = min(self._most, self._limit + 1 / self._limit)

    def overloaded(self, slot: Slot) -> None:
        """Halve the limit, once for all requests that were in flight together."""
        if slot.round == self._round:
            self._round += 1
            self._limit = max(1.0, self._limit / 2)
