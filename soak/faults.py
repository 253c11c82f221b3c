"""Which faults come when: the same seed gives the same faults."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

QUIET_BEFORE = 60.0
"""Seconds without faults at the start: what is counted then is compared with the end."""
QUIET_AFTER = 30.0
"""Seconds without a new fault before the writers stop."""
PAUSE = (8.0, 30.0)
"""Seconds between the end of a fault and the next one."""
SECONDS = (3.0, 20.0)
"""How long a fault lasts."""
LIVING_SHARE = 0.45
"""In so large a share of the time, the last one, no fault ends a program: whether one grows is seen while it lives."""


class Kind(Enum):
    """What is done to whom."""

    KILL_TASK = "task killed"
    KILL_WORKER = "worker killed"
    KILL_SCHEDULER = "scheduler killed"
    KILL_TRIGGERER = "triggerer killed"
    KILL_DAG_PROCESSOR = "DAG processor killed"
    KILL_API_SERVER = "API server killed"
    KILL_BACKEND = "PostgreSQL backend killed"
    RESTART_POSTGRES = "PostgreSQL restarted"
    KILL_QDRANT = "Qdrant killed"
    RESTART_QDRANT = "Qdrant restarted"
    FULL_DISK = "Qdrant's disk full"
    KILL_EMBEDDINGS = "embedding server killed"
    SLOW_EMBEDDINGS = "embedding server slow"
    FAILING_EMBEDDINGS = "embedding server fails"
    CUT_QDRANT = "network to Qdrant cut"
    STALL_QDRANT = "network to Qdrant stalls"
    RESET_QDRANT = "connections to Qdrant reset"
    CUT_POSTGRES = "network to PostgreSQL cut"
    STALL_POSTGRES = "network to PostgreSQL stalls"
    RESET_POSTGRES = "connections to PostgreSQL reset"

    @property
    def ends_a_program(self) -> bool:
        """Whether a server, a part of Airflow or all sessions of PostgreSQL may end by it."""
        return self in _ENDING

    @property
    def reaches_searches(self) -> bool:
        """Whether a search may fail under it: searches use the two servers and the embedding server only."""
        return not self.name.endswith(("_TASK", "_WORKER", "_SCHEDULER", "_TRIGGERER", "_DAG_PROCESSOR", "_API_SERVER"))


_ENDING = {
    Kind.KILL_SCHEDULER,
    Kind.KILL_TRIGGERER,
    Kind.KILL_DAG_PROCESSOR,
    Kind.KILL_API_SERVER,
    Kind.KILL_BACKEND,
    Kind.RESTART_POSTGRES,
    Kind.KILL_QDRANT,
    Kind.RESTART_QDRANT,
    Kind.FULL_DISK,
    Kind.KILL_EMBEDDINGS,
}


@dataclass(frozen=True)
class Fault:
    """One fault of a schedule.

    :param kind: what is done
    :param pause: seconds of peace before it
    :param seconds: how long it lasts; what is killed stays down so long
    :param draw: a number from 0 to 1 that chooses among several processes
    """

    kind: Kind
    pause: float
    seconds: float
    draw: float


@dataclass(frozen=True)
class Window:
    """A fault that was under way.

    :param kind: what was done
    :param begin: seconds since the epoch
    :param end: seconds since the epoch, when all was well again
    :param skipped: why it was not done; empty if it was
    :param remedy: what had to be done about it that no supervisor does by itself; empty if nothing
    """

    kind: Kind
    begin: float
    end: float
    skipped: str = ""
    remedy: str = ""

    @property
    def told(self) -> str:
        """What it was, and what else there is to say."""
        if self.skipped:
            return f"{self.kind.value}: skipped, {self.skipped}"
        return f"{self.kind.value}: {self.remedy}" if self.remedy else self.kind.value


def schedule(seed: int, kinds: Iterable[Kind] = Kind) -> Iterator[Fault]:
    """Choose faults without end: every kind once in random order, then all of them again.

    :param seed: chooses
    :param kinds: kinds that are possible on this machine
    """
    draw = random.Random(seed)
    available = list(kinds)
    while available:
        draw.shuffle(available)
        for kind in available:
            yield Fault(kind, draw.uniform(*PAUSE), draw.uniform(*SECONDS), draw.random())


def under_way(windows: Iterable[Window], begin: float, end: float, *, before: float = 0.0, after: float) -> bool:
    """Whether a fault was under way at some moment of a time.

    :param before: seconds before a fault that count too
    :param after: seconds after a fault that count too
    """
    return any(
        not window.skipped and window.begin - before <= end and begin <= window.end + after for window in windows
    )
