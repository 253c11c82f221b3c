"""Score in a process of its own: a parser written in C that crashes or hangs ends that process, not the task.

The task sends payloads, the process answers with their scores; both travel pickled, with their length before them.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.quality.score import QualityScore, score_as_text, score_pattern

TOGETHER = 50
"""Payloads of one request. If the process is lost, they are scored again one by one."""
SECONDS = 60
"""Processor time for one request; ordinary payloads need a hundredth of a second."""

_LENGTH = struct.Struct("<Q")
_PROGRAM = "from code_patterns.quality.scoring_process import serve; serve()"
_PLUGINS = Path(__file__).resolve().parents[2]


class _LostError(Exception):
    """The process ended without an answer; the text says why."""


class ScoringProcess:
    """Scores payloads in another process, which is started again when a payload has ended it.

    :param onex_weight: weight of ONEX compliance
    :param seconds: processor time for one request
    """

    def __init__(self, onex_weight: float, seconds: int) -> None:
        self._onex_weight = onex_weight
        self._seconds = seconds
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, onex_weight: float, seconds: int = SECONDS) -> AsyncIterator["ScoringProcess"]:
        """End the process when the block ends."""
        scoring = cls(onex_weight, seconds)
        try:
            yield scoring
        finally:
            await scoring._end()

    async def score(self, payloads: Sequence[Any]) -> list[QualityScore]:
        """Score payloads, in their order.

        A payload that ends the process is scored as text; the reason is in its score's ``reading``.

        :raises ConfigurationError: the process does not start
        """
        scores: list[QualityScore] = []
        for start in range(0, len(payloads), TOGETHER):
            some = payloads[start : start + TOGETHER]
            try:
                scores += await self._ask(some)
            except _LostError:
                for payload in some:
                    scores.append(await self._score_alone(payload))
        return scores

    async def _score_alone(self, payload: Any) -> QualityScore:
        try:
            [score] = await self._ask([payload])
        except _LostError as error:
            return score_as_text(payload, str(error), self._onex_weight)
        return score

    async def _ask(self, payloads: Sequence[Any]) -> list[QualityScore]:
        process = self._process = self._process or await self._start()
        requests = cast("asyncio.StreamWriter", process.stdin)
        try:
            requests.write(_framed((list(payloads), self._onex_weight, self._seconds)))
            await requests.drain()
            answer: list[QualityScore] = await _answer(process)
        except (ConnectionError, asyncio.IncompleteReadError):
            self._process = None
            raise _LostError(_reason(await process.wait())) from None
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        # The same version of the bundle as the task's comes first.
        path = os.pathsep.join([str(_PLUGINS), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", _PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
            # A signal to the task's group is for the task.
            start_new_session=True,
        )
        self._process = process
        try:
            await _answer(process)
        except asyncio.IncompleteReadError:
            raise ConfigurationError(
                Code.PACKAGE_MISSING,
                f"The process that scores does not start ({_ending(await process.wait())}). Its error stands above, in "
                "the log of the task or of its worker. Install requirements.txt for this Python.",
            ) from None
        return process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def serve() -> None:
    """Answer requests until there are no more; the whole life of the process."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # The first message says that all imports are done.
    answers.write(_framed(None))
    answers.flush()
    while (request := _read(requests)) is not None:
        payloads, onex_weight, seconds = request
        # Without a handler this signal ends the process, in the middle of C too. It measures the process's own time, so
        # neither a busy machine nor a task that has died makes a difference.
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        scores = [score_pattern(payload, onex_weight) for payload in payloads]
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        answers.write(_framed(scores))
        answers.flush()


def _framed(message: Any) -> bytes:
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def _read(stream: BinaryIO) -> Any:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    [length] = _LENGTH.unpack(head)
    return pickle.loads(stream.read(length))  # noqa: S301 - only the task writes to this pipe


async def _answer(process: asyncio.subprocess.Process) -> Any:
    answers = cast("asyncio.StreamReader", process.stdout)
    [length] = _LENGTH.unpack(await answers.readexactly(_LENGTH.size))
    return pickle.loads(await answers.readexactly(length))  # noqa: S301 - this code's own process


def _reason(code: int) -> str:
    return "the parser found no end" if code == -signal.SIGVTALRM else f"the parser ended its process ({_ending(code)})"


def _ending(code: int) -> str:
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
