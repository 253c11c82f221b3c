"""Give the writers' side and the other side of a measurement processors of their own.

Where both share the processors, whatever runs takes from the writers. Apart, what is left is what the one does to the
other: locks, and the work of PostgreSQL for it. That is how most installations are: the database has its own machine.
"""

import os
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil
import psycopg


@contextmanager
def apart(near: Sequence[psutil.Process], far: Sequence[psutil.Process]) -> Iterator[None]:
    """Bind processes with their children to one half of the processors, and others to the other half, for a while.

    :param near: one side; it starts with the first processor
    :param far: the other side
    """
    all_of_them = sorted(os.sched_getaffinity(0))
    half = len(all_of_them) // 2
    try:
        _bind(near, all_of_them[:half])
        _bind(far, all_of_them[half:])
        yield
    finally:
        _bind([*near, *far], all_of_them)


def can_part() -> bool:
    """Whether this machine has processors for two sides, and lets processes be bound to them."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


def postgres_process(dsn: str) -> psutil.Process:
    """The server's first process, of which its sessions are children.

    :raises psutil.Error: it does not run on this machine
    """
    with psycopg.connect(dsn) as connection:
        parent = psutil.Process(connection.info.backend_pid).parent()
    if parent is None:
        raise psutil.NoSuchProcess(connection.info.backend_pid)
    return parent


def listening_process(url: str) -> psutil.Process:
    """The process that listens at an address.

    :raises psutil.Error: none on this machine does
    """
    port = urllib.parse.urlsplit(url).port
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    raise psutil.NoSuchProcess(0, msg=f"nothing listens at port {port}")


def _bind(processes: Sequence[psutil.Process], processors: Sequence[int]) -> None:
    for process in processes:
        for one in (process, *process.children(recursive=True)):
            # A session of PostgreSQL, or a thread, may end in between.
            with suppress(psutil.NoSuchProcess):
                for thread in one.threads():
                    with suppress(ProcessLookupError):
                        os.sched_setaffinity(thread.id, processors)
