"""Measure a piece of work from inside the process that does it."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# httpx imports these with its first client, in the middle of the measurement.
import anyio._backends._asyncio  # noqa: F401
import httpcore  # noqa: F401


@contextmanager
def measured(**details: object) -> Iterator[dict[str, object]]:
    """Time the block, and print the result as the last line of the process, in JSON.

    Imports are not counted: a task pays for them once, however much it has to do.

    :param details: printed too; the block may add more
    """
    cpu, start = _cpu_seconds(), time.perf_counter()
    yield details
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {"seconds": seconds, "cpu_seconds": _cpu_seconds() - cpu, "peak_bytes": _peak_bytes(), "details": details}
        )
    )


def _cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss starts with the parent's memory at the fork; this starts at the exec.
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
