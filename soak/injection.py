"""Doing one fault after the other, and bringing all back as a supervisor does."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence

import psutil

from demo.errors import DemoError
from soak.faults import Fault, Kind, Window
from soak.stage import Stage

VICTIM_SECONDS = 20.0
"""How long to wait for a process that can be killed."""
RECOVERY_SECONDS = 60.0


class Injection:
    """Does faults to a stage.

    :param stage: all servers
    :ivar windows: what was done, and when all was well again
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.windows: list[Window] = []
        self._do: Mapping[Kind, Callable[[Fault], str]] = {
            Kind.KILL_TASK: lambda fault: self._kill_member(fault, _tasks),
            Kind.KILL_WORKER: lambda fault: self._kill_member(fault, _workers),
            Kind.KILL_SCHEDULER: lambda fault: self._kill("scheduler", fault),
            Kind.KILL_TRIGGERER: lambda fault: self._kill("triggerer", fault),
            Kind.KILL_DAG_PROCESSOR: lambda fault: self._kill("dag-processor", fault),
            Kind.KILL_API_SERVER: lambda fault: self._kill("api-server", fault),
            Kind.KILL_BACKEND: self._kill_backend,
            Kind.RESTART_POSTGRES: lambda fault: self._restart("postgres", fault),
            Kind.KILL_QDRANT: lambda fault: self._kill("qdrant", fault),
            Kind.RESTART_QDRANT: lambda fault: self._restart("qdrant", fault),
            Kind.FULL_DISK: self._fill_disk,
            Kind.KILL_EMBEDDINGS: lambda fault: self._kill("embeddings", fault),
            Kind.SLOW_EMBEDDINGS: lambda fault: self._pace(fault, request_seconds=2.5, text_seconds=0.1),
            Kind.FAILING_EMBEDDINGS: lambda fault: self._pace(fault, status=503),
            Kind.CUT_QDRANT: lambda fault: self._network(stage.qdrant_proxy.cut, fault),
            Kind.STALL_QDRANT: lambda fault: self._network(stage.qdrant_proxy.stall, fault),
            Kind.RESET_QDRANT: lambda fault: self._network(stage.qdrant_proxy.reset, fault),
            Kind.CUT_POSTGRES: lambda fault: self._network(stage.postgres_proxy.cut, fault),
            Kind.STALL_POSTGRES: lambda fault: self._network(stage.postgres_proxy.stall, fault),
            Kind.RESET_POSTGRES: lambda fault: self._network(stage.postgres_proxy.reset, fault),
        }

    def run(self, fault: Fault) -> Window:
        """Do a fault, wait until it is over and all is well, and say when that was.

        :raises DemoError: something does not come back
        """
        begin = time.time()
        # Readers of the windows must see it while it lasts.
        self.windows.append(Window(fault.kind, begin, begin + fault.seconds + RECOVERY_SECONDS))
        skipped = self._do[fault.kind](fault)
        remedy = self._let_tasks_begin() if fault.kind is Kind.KILL_WORKER and not skipped else ""
        self.windows[-1] = Window(fault.kind, begin, time.time(), skipped, remedy)
        return self.windows[-1]

    def _kill(self, role: str, fault: Fault) -> str:
        self._stage.kill(role)
        time.sleep(fault.seconds)
        self._stage.clear(role)
        self._stage.start(role)
        return ""

    def _restart(self, role: str, fault: Fault) -> str:
        self._stage.stop(role)
        time.sleep(fault.seconds)
        self._stage.start(role)
        return ""

    def _kill_member(self, fault: Fault, find: Callable[[Sequence[psutil.Process]], list[psutil.Process]]) -> str:
        """Kill one of the processes that the scheduler has forked."""
        deadline = time.monotonic() + VICTIM_SECONDS
        while not (found := find(self._stage.sessions()["scheduler"])):
            if time.monotonic() > deadline:
                return f"no such process within {VICTIM_SECONDS:.0f} s"
            time.sleep(0.2)
        with contextlib.suppress(psutil.Error):
            found[int(fault.draw * len(found))].kill()
        return ""

    def _let_tasks_begin(self) -> str:
        """Do what docs/deploy.md says where no task begins any more; return what that was.

        An idle worker may hold the lock of the queue by which all workers get their tasks. Killed, it keeps it.
        """
        if self._stage.takes_tasks():
            return ""
        self._stage.stop("scheduler")
        self._stage.start("scheduler")
        return "no task began any more, so the scheduler was restarted"

    def _kill_backend(self, fault: Fault) -> str:
        pids = [pid for (pid,) in self._stage.sides.ask("backend")]
        if not pids:
            return "no session to kill"
        os.kill(pids[int(fault.draw * len(pids))], signal.SIGKILL)
        # PostgreSQL ends all sessions then and starts anew by itself.
        time.sleep(1)
        deadline = time.monotonic() + RECOVERY_SECONDS
        while not self._stage.takes_sessions():
            if time.monotonic() > deadline:
                raise DemoError("PostgreSQL has not recovered from the loss of a backend.")
            time.sleep(0.1)
        return ""

    def _fill_disk(self, fault: Fault) -> str:
        disk = self._stage.disk
        if disk is None:
            return "no file system can be mounted here"
        disk.fill()
        time.sleep(fault.seconds)
        disk.free()
        if "qdrant" in self._stage.died():
            self._stage.clear("qdrant")
            self._stage.start("qdrant")
        return ""

    def _pace(self, fault: Fault, **pace: float) -> str:
        self._stage.set_pace(**pace)
        time.sleep(fault.seconds)
        self._stage.set_pace()
        return ""

    def _network(self, lose: Callable[[], None], fault: Fault) -> str:
        lose()
        time.sleep(fault.seconds)
        self._stage.qdrant_proxy.heal()
        self._stage.postgres_proxy.heal()
        return ""


def _workers(session: Sequence[psutil.Process]) -> list[psutil.Process]:
    """LocalExecutor's workers: the children of the scheduler that take tasks."""
    scheduler = session[0].pid
    return [process for process in session[1:] if _parent(process) == scheduler and "LocalExecutor" in _title(process)]


def _tasks(session: Sequence[psutil.Process]) -> list[psutil.Process]:
    """The processes of tasks: the children of workers."""
    workers = {worker.pid for worker in _workers(session)}
    return [process for process in session[1:] if _parent(process) in workers]


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
