"""Waiting at the start of a run: as long as somebody chose, for outages only, and not in silence."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise

import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers import patience
from code_patterns.servers.patience import patiently


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tries: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def failing(
        self, until: float, error: type[ConfigurationError | OutageError] = OutageError
    ) -> Callable[[], Awaitable[str]]:
        async def attempt() -> str:
            self.tries.append(self.now)
            if self.now < until:
                raise error(Code.QDRANT_AWAY, "The server is away.")
            return "open"

        return attempt


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    with monkeypatch.context() as patch:
        patch.setattr(patience, "time", clock)
        patch.setattr(patience, "asyncio", clock)
        yield clock


def test_a_server_that_comes_back_is_waited_for(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(patiently(clock.failing(until=60), 300)) == "open"
    assert 4 <= len(clock.tries) <= 6
    assert len(caplog.records) == len(clock.tries) - 1
    assert all("The server is away." in record.getMessage() for record in caplog.records)


def test_patience_ends_when_it_was_told_to_with_the_tries_and_the_last_reason(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OutageError, match=r"The server is away\. Tried \d+ times in 300 s") as ended:
        asyncio.run(patiently(clock.failing(until=1e9), 300))
    assert f"Tried {len(clock.tries)} times" in str(ended.value)
    assert clock.tries[-1] == pytest.approx(300)
    assert len(caplog.records) <= 12
    assert max(later - earlier for earlier, later in pairwise(clock.tries)) <= 72


def test_no_patience_tries_once(clock: Clock) -> None:
    with pytest.raises(OutageError, match="Tried once"):
        asyncio.run(patiently(clock.failing(until=1e9), 0))
    assert clock.tries == [0.0]


def test_what_a_person_must_change_is_not_waited_for(clock: Clock) -> None:
    with pytest.raises(ConfigurationError):
        asyncio.run(patiently(clock.failing(until=1e9, error=ConfigurationError), 300))
    assert clock.tries == [0.0]
