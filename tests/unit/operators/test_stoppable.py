"""A task that is told to stop."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest
from airflow.sdk.execution_time.timeout import timeout

from code_patterns.errors import StoppedError
from code_patterns.operators.stoppable import STOPPED, TOO_LONG, StoppableOperator


@pytest.fixture
def operator() -> Iterator[StoppableOperator]:
    """An operator that gets SIGTERM as in a task."""
    operator = StoppableOperator(task_id="task")
    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    yield operator
    signal.signal(signal.SIGTERM, before)


def test_work_that_ends_by_itself_returns_its_result(operator: StoppableOperator) -> None:
    assert operator.run_work(asyncio.sleep(0, "done")) == "done"
    operator.on_kill()
    assert operator.run_work(asyncio.sleep(0, "done")) == "done"


def test_sigterm_ends_the_work_after_it_has_cleaned_up(operator: StoppableOperator) -> None:
    seen = []

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as error:
            seen.append(str(error))
            # The second signal comes while it cleans up.
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
            seen.append("cleaned up")
            raise

    with pytest.raises(StoppedError) as stopped:
        operator.run_work(work())
    assert seen == [STOPPED, "cleaned up"]
    assert stopped.value.message == STOPPED
    assert stopped.value.retryable


def test_blocking_work_is_left_in_the_middle_and_cleans_up(operator: StoppableOperator) -> None:
    seen = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(3600)
        finally:
            # The second signal comes while it cleans up.
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            seen.append("cleaned up")

    assert operator.run_blocking(lambda: "done") == "done"
    operator.on_kill()
    with pytest.raises(StoppedError):
        operator.run_blocking(work)
    assert seen == ["cleaned up"]
    operator.on_kill()


def ring() -> None:
    """What Airflow's timer does when the time limit of the task is over."""
    signal.raise_signal(signal.SIGALRM)


async def ring_soon() -> None:
    ring()


@pytest.mark.parametrize("where", ["a callback", "a task that nobody waits for", "the work"])
def test_the_time_limit_ends_the_work_wherever_the_process_is(operator: StoppableOperator, where: str) -> None:
    seen = []

    async def work() -> None:
        kept = None
        try:
            if where == "a callback":
                asyncio.get_running_loop().call_soon(ring)
            elif where == "the work":
                ring()
            else:
                kept = asyncio.create_task(ring_soon())
            await asyncio.sleep(5)
            seen.append(f"went on after {kept}")
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    with timeout(3600) as limit, pytest.raises(StoppedError) as stopped:
        operator.run_work(work())
    assert seen == ["cleaned up"]
    assert stopped.value.message == TOO_LONG
    assert stopped.value.retryable
    assert signal.getsignal(signal.SIGALRM) == limit.handle_timeout


def test_the_time_limit_ends_blocking_work(operator: StoppableOperator) -> None:
    seen = []

    def work() -> None:
        try:
            ring()
        finally:
            seen.append("cleaned up")

    with timeout(3600), pytest.raises(StoppedError) as stopped:
        operator.run_blocking(work)
    assert (seen, stopped.value.message) == (["cleaned up"], TOO_LONG)
    # The next work of this process is told its own reason.
    with pytest.raises(StoppedError, match="told to stop"):
        operator.run_blocking(lambda: os.kill(os.getpid(), signal.SIGTERM))
