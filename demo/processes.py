"""The programs that the demo starts, and how all of them are stopped."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from demo import HOME
from demo.errors import DemoError

MARKER = "CODE_PATTERNS_DEMO"
"""Environment variable of every program the demo starts; its value is the demo's folder."""

GRACE_SECONDS = 4.0
"""How long programs may take to stop before they are killed."""

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Programs:
    """Programs in their own sessions: Ctrl-C reaches only the demo, which stops them in order.

    :param home: the folder of the command that starts them; names them when it was killed
    """

    def __init__(self, home: Path = HOME) -> None:
        self._home = home
        self._started: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []

    def start(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGTERM,
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """Start a program whose output goes to a log file.

        :param command: program and arguments
        :param log: file for its output
        :param environment: its environment variables
        :param stop_signal: what asks it to end
        :param options: further arguments of :class:`subprocess.Popen`
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  (commands are the demo's own)
                command,
                env={**environment, MARKER: str(self._home)},
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **options},
            )
        self._started.append((process, stop_signal))
        return process

    def failed(self) -> str | None:
        """Return the command of a program that ended with an error, or ``None``."""
        return next((_command(process) for process, _ in self._started if process.poll()), None)

    def stop(self, only: subprocess.Popen[bytes] | None = None) -> None:
        """Stop one program, or everything that was started, and wait for the end."""
        ending = [entry for entry in self._started if only in (None, entry[0])]
        for process, stop_signal in ending:
            for member in members(process):
                _send(member, stop_signal)
        _end([member for process, _ in ending for member in members(process)])
        for entry in ending:
            # A process that was forked in the last moment is still in the session.
            while left := members(entry[0]):
                _kill(left)
            entry[0].wait()
            self._started.remove(entry)


def stop_leftovers(home: Path = HOME) -> None:
    """Stop what an earlier command left behind when it was killed by SIGKILL.

    :param home: the folder of that command
    """
    found = marked(home)
    for process in found:
        _send(process, signal.SIGTERM)
    _end(found)


def marked(home: Path) -> list[psutil.Process]:
    """List the processes that were started for a folder, whatever session they are in now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARKER) == str(home):
                found.append(process)
    return found


def members(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """List the living processes of a program's session."""
    if process.poll() is not None and psutil.pid_exists(process.pid):
        return []  # The program is gone, and another one has its number.
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(pid) == process.pid and (member := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                found.append(member)
    return found


def free_port(preferred: int = 0) -> int:
    """Return a free loopback TCP port: the preferred one or the next; any if 0."""
    for port in range(preferred, preferred + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise DemoError(f"No free port between {preferred} and {preferred + 99} on 127.0.0.1.")


def inherited_environment() -> dict[str, str]:
    """Return this process's environment without the settings that name other servers."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PG", "PATTERNS_", "PYTHON", "VIRTUAL_ENV"))
    }


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop everything as Ctrl-C does; restore SIGINT where a shell ignores it."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore further signals, so that a second Ctrl-C leaves no program running."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _command(process: subprocess.Popen[bytes]) -> str:
    return " ".join(map(str, process.args)) if isinstance(process.args, list) else str(process.args)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def _end(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    _kill(alive)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=1)
