"""Operators whose work stops when Airflow says so."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from airflow.sdk import BaseOperator

from code_patterns.errors import StoppedError

Result = TypeVar("Result")

STOPPED = "The task was told to stop before its work was done. What it has done stays, and the next try or run goes on."
TOO_LONG = (
    "The task was stopped by its time limit, the operator's argument execution_timeout. What it has done stays, and "
    "the next try or run goes on."
)


class StoppableOperator(BaseOperator):
    """Base of the operators whose work takes long.

    A worker that shuts down sends SIGTERM, and Airflow then calls :meth:`on_kill`. Without it the task would go on
    until it is killed. The time limit of the task ends the work in the same way.
    """

    _stop: Callable[[], object] | None = None
    _reason = STOPPED

    def run_work(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine to its end.

        :raises StoppedError: the task was told to stop; the coroutine was cancelled and has cleaned up
        """

        async def run() -> Result:
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
            # A signal handler runs between two steps of the event loop, which sleeps unless it is woken.
            self._stop = lambda: task and loop.call_soon_threadsafe(task.cancel, self._reason)
            try:
                return await work
            finally:
                self._stop = None

        try:
            with self._time_limit():
                return asyncio.run(run())
        except asyncio.CancelledError:
            raise StoppedError(self._reason) from None

    def run_blocking(self, work: Callable[[], Result]) -> Result:
        """Run code without an event loop to its end.

        :raises StoppedError: the task was told to stop; the code was left in the middle and has cleaned up
        """
        self._stop = _interrupt
        try:
            with self._time_limit():
                return work()
        except _Interruption:
            raise StoppedError(self._reason) from None
        finally:
            self._stop = None

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        """Let Airflow's alarm stop the work.

        Airflow's own handler raises its error wherever the process is at that moment. In a callback of the event loop,
        or in a task that nobody waits for, the error is lost, and the limit with it: the alarm comes once.
        """
        self._reason = STOPPED
        # Only this thread may have handlers. Airflow sets no alarm elsewhere.
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(*_: object) -> None:
            self._reason = TOO_LONG
            self.on_kill()

        before = signal.signal(signal.SIGALRM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGALRM, before)

    def on_kill(self) -> None:
        """Stop the work, once.

        A task gets the signal twice if its whole process group does: a second one would end the cleaning up.
        """
        stop, self._stop = self._stop, None
        if stop:
            stop()


class _Interruption(SystemExit):
    """Ends the work. psycopg cancels the statement that runs for a SystemExit, not for any exception."""


def _interrupt() -> NoReturn:
    # Signal handlers run in the thread of the task: this is raised wherever its work is.
    raise _Interruption
