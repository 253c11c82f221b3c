"""Operators whose work stops when Airflow says so."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from airflow.sdk import BaseOperator

from code_patterns.errors import StoppedError

Result = TypeVar("Result")

STOPPED = "The task was told to stop before its work was done. What it has done stays, and the next try goes on."


class StoppableOperator(BaseOperator):
    """Base of the operators whose work is a coroutine.

    A worker that shuts down sends SIGTERM, and Airflow then calls :meth:`on_kill`. Without it the task would go on
    until it is killed.
    """

    _work: asyncio.Task[Any] | None = None

    def run_work(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine to its end.

        :raises StoppedError: the task was told to stop; the coroutine was cancelled and has cleaned up
        """

        async def run() -> Result:
            self._work = asyncio.current_task()
            try:
                return await work
            finally:
                self._work = None

        try:
            return asyncio.run(run())
        except asyncio.CancelledError:
            raise StoppedError(STOPPED) from None

    def on_kill(self) -> None:
        """Cancel the work, once.

        A task gets the signal twice if its whole process group does: a second cancellation would end the cleaning up.
        """
        work, self._work = self._work, None
        if work:
            # A signal handler runs between two steps of the event loop, which sleeps unless it is woken.
            work.get_loop().call_soon_threadsafe(work.cancel, STOPPED)
