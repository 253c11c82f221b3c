"""When to ask again, and how many requests to have in flight."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from tenacity import AsyncRetrying, Future, RetryCallState

from code_patterns.embeddings import RetryPolicy
from code_patterns.embeddings.concurrency import AdaptiveLimit
from code_patterns.embeddings.faults import TemporaryError, Trouble
from code_patterns.servers.retry import retry_after_seconds


def failed(attempt: int, retry_after: float | None = None, elapsed: float = 0.0) -> RetryCallState:
    """The state of a call whose latest attempt has just failed."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = attempt
    state.outcome = Future(attempt)
    state.outcome.set_exception(TemporaryError(Trouble.BUSY, "busy", retry_after=retry_after))
    state.outcome_timestamp = state.start_time + elapsed
    return state


def test_waits_grow_and_stay_below_the_longest() -> None:
    policy = RetryPolicy(first_wait=1, longest_wait=10)
    for _ in range(50):
        waits = [policy.wait(failed(attempt)) for attempt in range(1, 8)]
        assert all(2 ** (number - 1) <= wait <= 2**number for number, wait in enumerate(waits[:3]))
        assert waits[5:] == [10, 10]


def test_a_server_that_asks_to_wait_is_obeyed_within_the_limit() -> None:
    policy = RetryPolicy(first_wait=1, longest_wait=10)
    assert 7 <= policy.wait(failed(1, retry_after=7)) <= 7.5
    assert policy.wait(failed(1, retry_after=3600)) == 10


def test_attempts_and_time_are_bounded_but_the_second_attempt_is_always_made() -> None:
    policy = RetryPolicy(attempts=5, total=60)
    assert not policy.stop(failed(1, elapsed=600))
    assert policy.stop(failed(2, elapsed=600))
    assert not policy.stop(failed(4, elapsed=10))
    assert policy.stop(failed(5))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-3", 0),
        ("7", 7),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00", 0),
    ],
)
def test_retry_after_header(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds


def test_the_limit_halves_once_per_burst_and_recovers_step_by_step() -> None:
    async def run() -> None:
        limit = AdaptiveLimit(8)
        async with AsyncExitStack() as stack:
            slots = [await stack.enter_async_context(limit.slot()) for _ in range(8)]
            for slot in slots:
                limit.overloaded(slot)
        assert limit.limit == 4
        for expected in (2, 1, 1):
            async with limit.slot() as slot:
                limit.overloaded(slot)
            assert limit.limit == expected
        seen = []
        for _ in range(40):
            limit.succeeded()
            seen.append(limit.limit)
        assert seen == sorted(seen)
        assert set(seen) == set(range(2, 9))

    asyncio.run(run())


def test_waiting_requests_start_when_others_end_or_are_cancelled() -> None:
    async def run() -> None:
        limit = AdaptiveLimit(1)
        done: list[int] = []

        async def work(number: int) -> None:
            async with limit.slot():
                await asyncio.sleep(0)
                done.append(number)

        tasks = [asyncio.create_task(work(number)) for number in range(10)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[3].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=30)
        assert sorted(done) == [1, 2, 4, 5, 6, 7, 8, 9]

    asyncio.run(run())
