"""A stream that works in a thread beside a test."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from code_patterns.run_identity import RunIdentity
from code_patterns.sync.runs.stream import stream
from code_patterns.sync.runs.stream_report import Tell
from code_patterns.sync.stream_result import StreamResult
from tests.support.two_sides import TwoSides

PATIENCE = 60.0


def stream_between(sides: TwoSides, tell: Tell = lambda _: None, **settings: Any) -> Coroutine[Any, Any, StreamResult]:
    """A stream between both sides, as a coroutine."""
    chosen = sides.chosen("stream", **{"linger_seconds": 300.0, "patience_seconds": 30.0, **settings})
    identity = RunIdentity(uuid.uuid4(), "pattern_sync_stream", "run", 1)
    return stream(sides.as_sync, sides.qdrant, sides.embedding, chosen, identity, tell, sides.events)


class RunningStream:
    """A stream; its result or error is there after :meth:`join`."""

    def __init__(self, sides: TwoSides, **settings: Any) -> None:
        self.told: list[StreamResult] = []
        self._work = stream_between(sides, self.told.append, **settings)
        self._loop = asyncio.new_event_loop()
        self._result: StreamResult | BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._task = self._loop.create_task(self._work)
        try:
            self._result = self._loop.run_until_complete(self._task)
        except BaseException as error:
            self._result = error
        finally:
            self._loop.close()

    @property
    def is_up(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> StreamResult:
        """Wait for its end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the stream did not end"
        if isinstance(self._result, StreamResult):
            return self._result
        assert self._result is not None
        raise self._result

    def cancel(self) -> None:
        """Stop it as Airflow does."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(PATIENCE)


@contextmanager
def running_stream(sides: TwoSides, **settings: Any) -> Iterator[RunningStream]:
    """A stream that is cancelled at the end, if it still works."""
    started = RunningStream(sides, **settings)
    try:
        yield started
    finally:
        started.cancel()


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.1)
