"""What every process holds, every few seconds: memory, open files, threads; and sessions and connections."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil
import psycopg

from soak.comparison import BothSides
from soak.proxy import TcpProxy
from soak.records import Connected, Held

SECONDS = 5.0
HORIZON_SECONDS = 1.0
WHOLE = ("postgres", "triggerer", "api-server")
"""Programs whose children live as long as they do. Those of others come and go with tasks and files."""


@dataclass(frozen=True)
class Horizon:
    """Below which transaction all were over, and when that was known.

    :param at: seconds since the epoch, just after the answer
    :param xid: the transaction
    """

    at: float
    xid: int


class Sampler(threading.Thread):
    """Takes samples until it is ended.

    :param sessions: gives the processes of each program, its first one first
    :param sides: both sides
    :param postgres: the proxy before PostgreSQL
    :param qdrant: the proxy before Qdrant
    """

    def __init__(
        self,
        sessions: Callable[[], Mapping[str, list[psutil.Process]]],
        sides: BothSides,
        postgres: TcpProxy,
        qdrant: TcpProxy,
    ) -> None:
        super().__init__(name="sampler", daemon=True)
        self._sessions = sessions
        self._sides = sides
        self._postgres = postgres
        self._qdrant = qdrant
        self._ending = threading.Event()
        self.held: list[Held] = []
        self.connected: list[Connected] = []
        self.horizons: list[Horizon] = []
        self.streams: set[int] = set()
        """Processes of stream tasks; whoever knows them adds them."""

    def end(self) -> None:
        """Take no more samples."""
        self._ending.set()
        self.join()

    def run(self) -> None:
        """Take samples."""
        due = 0.0
        while not self._ending.wait(HORIZON_SECONDS):
            with contextlib.suppress(psycopg.Error):
                [(xid,)] = self._sides.ask("horizon")
                self.horizons.append(Horizon(time.time(), xid))
            if time.monotonic() >= due:
                due = time.monotonic() + SECONDS
                self._sample()

    def horizon(self, moment: float) -> int:
        """The transaction below which all were over at a moment; 0 if that is not known."""
        return next((known.xid for known in reversed(self.horizons) if known.at <= moment), 0)

    def _sample(self) -> None:
        for role, processes in self._sessions().items():
            if processes:
                self._add(role, processes[0].pid, processes if role in WHOLE else processes[:1], len(processes))
        for pid in list(self.streams):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._add("stream", pid, [psutil.Process(pid)], 1)
        with contextlib.suppress(psycopg.Error):
            [(sessions,)] = self._sides.ask("sessions")
            counts = sessions, self._postgres.connections, self._qdrant.connections
            self.connected.append(Connected(time.time(), *counts))

    def _add(self, role: str, pid: int, processes: Sequence[psutil.Process], alive: int) -> None:
        memory = files = threads = 0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                memory += _memory(role, process)
                files += process.num_fds()
                threads += process.num_threads()
        if memory:
            self.held.append(Held(time.time(), role, pid, memory, files, threads, alive))


def _memory(role: str, process: psutil.Process) -> int:
    """What a process holds in memory, without pages of mapped files: the system takes them back when it needs room."""
    if role == "postgres":
        # Its shared buffers would count once for each session. Others fork children for a moment, and share pages with
        # them: what they have to themselves comes and goes.
        return int(process.memory_full_info().uss)
    memory = process.memory_info()
    return int(memory.rss - memory.shared)
