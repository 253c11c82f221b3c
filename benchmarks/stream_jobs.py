"""This project's ways of keeping Qdrant up to date, each in a process of its own until it is ended.

``python -m benchmarks.stream_jobs <workload> <way> <api>``.
"""

import asyncio
import logging
import signal
import sys
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from benchmarks.jobs import embedding_of, postgres_of, qdrant_of, synced
from benchmarks.workload import BATCH, Workload
from code_patterns.run_identity import RunIdentity
from code_patterns.sync.runs.stream import stream
from code_patterns.sync.sync_settings import StreamSettings

LOOK_SECONDS = 0.25
"""Pause between two runs of the loop, as long as the stream's."""


async def looped(workload: Workload, api: str) -> None:
    """Run one hourly run after the other."""
    while True:
        await synced(workload, "incremental", api)
        await asyncio.sleep(LOOK_SECONDS)


async def streamed(workload: Workload, api: str) -> None:
    """Run the stream."""
    settings = StreamSettings(mode="stream", collection=workload.collection, batch_size=BATCH)
    identity = RunIdentity(uuid.uuid4())
    await stream(postgres_of(workload), qdrant_of(workload), embedding_of(workload, api), settings, identity)


async def until_ended(work: Coroutine[Any, Any, None]) -> None:
    """Cancel the work when the process is ended."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


WAYS = {"stream": streamed, "looped": looped}

if __name__ == "__main__":
    # A line for every run of the loop would fill the terminal.
    logging.disable(logging.WARNING)
    asyncio.run(until_ended(WAYS[sys.argv[2]](Workload.from_arguments(), sys.argv[3])))
