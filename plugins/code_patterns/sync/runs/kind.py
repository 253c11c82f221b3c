"""The interface of every kind of run."""

from abc import ABC, abstractmethod
from typing import ClassVar

from code_patterns.servers.locks import Lock
from code_patterns.sync.collection import Destination
from code_patterns.sync.run_locks import collection_lock
from code_patterns.sync.runs.context import RunContext


class RunKind(ABC):
    """One kind of run. A new one is a subclass in a module of its own, and a line in :mod:`code_patterns.sync.runs`.

    :cvar name: its name in ``pattern_sync_runs``, in metrics and in the log
    :cvar destination: which collection it writes, if readers see one of another recipe
    :cvar creates: whether it creates a missing collection
    :cvar starts_at_watermark: whether it needs a checkpoint to start from
    :cvar asks_witness: whether a collection that lacks its last write is none to start from
    :cvar relies_on_capture: whether it misses changes that no trigger recorded
    :cvar reconciles: whether it compares everything, so that it may make both sides agree after an exchange
    :cvar exchanges: whether it changes the progress token; runs that write side by side do not
    :cvar named_dead_letters: most dead letters that its log names
    :cvar fallback: the kind that replaces it without a usable checkpoint; ``None`` makes that an error
    """

    name: ClassVar[str]
    destination: ClassVar[Destination] = Destination.PUBLISHED
    creates: ClassVar[bool] = True
    starts_at_watermark: ClassVar[bool] = False
    asks_witness: ClassVar[bool] = True
    relies_on_capture: ClassVar[bool] = False
    reconciles: ClassVar[bool] = False
    exchanges: ClassVar[bool] = True
    named_dead_letters: ClassVar[int] = 5
    fallback: "ClassVar[type[RunKind] | None]" = None

    def locks(self, collection: str) -> tuple[Lock, ...]:
        """The locks that the run takes, in this order; by default the collection's lock.

        :param collection: the real collection's name in Qdrant
        """
        return (collection_lock(collection),)

    @abstractmethod
    async def execute(self, run: RunContext) -> None:
        """Do the work; the run is open, locked and in the history.

        :raises PatternsError: the run failed; what was recorded until then stays
        """
