"""What a soak sees: runs, searches, and what every process holds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunSeen:
    """A run.

    :param kind: ``hourly``, ``nightly``, ``stream``, ``scoring`` or ``backfill``
    :param run_id: its name
    :param state: as Airflow calls it
    :param begin: seconds since the epoch; 0 before that
    :param end: seconds since the epoch; 0 before that
    :param promised: how many rows were compared after its success
    :param missed: what was not there although it had reported success; empty if nothing
    """

    kind: str
    run_id: str
    state: str
    begin: float
    end: float
    promised: int = 0
    missed: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it succeeded or failed."""
        return self.state in ("success", "failed")


@dataclass(frozen=True)
class Answered:
    """One search.

    :param begin: seconds since the epoch
    :param seconds: until its answer
    :param wrong: what is wrong with it; empty if nothing
    """

    begin: float
    seconds: float
    wrong: str


@dataclass(frozen=True)
class Held:
    """What a program holds at a moment.

    :param at: seconds since the epoch
    :param role: the program
    :param pid: its first process
    :param memory: bytes that are resident, without mapped files; of PostgreSQL those that no other process has
    :param files: open file descriptors
    :param threads: threads
    :param processes: processes of its session
    """

    at: float
    role: str
    pid: int
    memory: int
    files: int
    threads: int
    processes: int


@dataclass(frozen=True)
class Connected:
    """How many connections are open at a moment.

    :param at: seconds since the epoch
    :param postgres_sessions: sessions of the patterns database, without the harness's
    :param postgres_network: connections through the proxy before PostgreSQL
    :param qdrant_network: connections through the proxy before Qdrant
    """

    at: float
    postgres_sessions: int
    postgres_network: int
    qdrant_network: int
