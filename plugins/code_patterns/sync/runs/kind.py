"""What every kind of run is made of."""

from abc import ABC, abstractmethod
from typing import ClassVar

from code_patterns.servers.locks import Lock
from code_patterns.sync.collection import Destination
from code_patterns.sync.runs.context import RunContext


class RunKind(ABC):
    """One kind of run. A new one is a subclass in a module of its own, and a line in :mod:`code_patterns.sync.runs`.

    :cvar name: its name in ``pattern_sync_runs``, in metrics and in the log
    :cvar destination: which collection it writes, when readers see one that was made by another recipe
    :cvar creates: whether it creates the collection that is not there yet
    :cvar starts_at_watermark: whether it needs a checkpoint to start from
    :cvar relies_on_capture: whether it misses changes that no trigger recorded
    :cvar reconciles: whether it compares everything, so that it may make sides agree of which one was exchanged
    :cvar exchanges: whether it changes the progress token; not where several runs write side by side
    :cvar fallback: the kind that takes its place without a usable checkpoint; ``None`` makes that an error
    """

    name: ClassVar[str]
    destination: ClassVar[Destination] = Destination.PUBLISHED
    creates: ClassVar[bool] = True
    starts_at_watermark: ClassVar[bool] = False
    relies_on_capture: ClassVar[bool] = False
    reconciles: ClassVar[bool] = False
    exchanges: ClassVar[bool] = True
    fallback: "ClassVar[type[RunKind] | None]" = None

    def locks(self, collection: str) -> tuple[Lock, ...]:
        """What the run must hold, in the order in which it is taken: by default the collection for itself.

        :param collection: the real collection's name in Qdrant
        """
        return (collection_lock(collection),)

    @abstractmethod
    async def execute(self, run: RunContext) -> None:
        """Do the work; the run is open, locked and in the history.

        :raises PatternsError: the run failed; everything recorded until then stands
        """


def collection_lock(collection: str, *, shared: bool = False) -> Lock:
    """The lock of a collection.

    :param collection: its real name in Qdrant
    :param shared: take a share, beside other runs that do so too
    """
    return Lock("code_patterns sync", collection, holder="sync run", subject=f"'{collection}'", shared=shared)
