"""The sync of one id range of a full sync; :mod:`code_patterns.sync.partition` makes the ranges.

Shards only write what differs. The full sync that follows finds it done and does the rest: orphans, proof, watermark.
So the result is the same with shards, without them, and if one is lost.
"""

import logging

from code_patterns.servers.locks import Lock
from code_patterns.sync.collection import Destination
from code_patterns.sync.diff import IdRange
from code_patterns.sync.orphans import Points
from code_patterns.sync.run_locks import collection_lock
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.full import compare_and_write
from code_patterns.sync.runs.kind import RunKind

log = logging.getLogger(__name__)


class ShardRun(RunKind):
    """Writes what differs in an id range; leaves orphans, proof and watermark to the full sync.

    :param id_range: the range
    """

    name = "shard"
    destination = Destination.CONNECTION
    exchanges = False

    def __init__(self, id_range: IdRange) -> None:
        self._id_range = id_range

    def locks(self, collection: str) -> tuple[Lock, ...]:
        """The lock of the range, and the collection's lock shared with the shards of other ranges.

        The range comes first: a run that holds the collection's lock waits for nothing, so runs cannot deadlock.
        """
        first, last = self._id_range.first, self._id_range.last
        key, subject = f"{collection} {first} {last}", f"'{collection}' from {first} to {last}"
        own = Lock("code_patterns shard", key, holder="try of this shard", subject=subject)
        return own, collection_lock(collection, shared=True)

    async def execute(self, run: RunContext) -> None:
        """Sync the range."""
        total = await run.source.count_code(self._id_range)
        log.info("Syncing %s patterns from id %s to %s.", f"{total:,}", self._id_range.first, self._id_range.last)
        await compare_and_write(run, Points(), total, self._id_range)
