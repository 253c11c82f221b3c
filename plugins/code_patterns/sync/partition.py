"""Cut a full sync into id ranges, so that several workers share its writing."""

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from uuid import UUID, uuid4

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.diff import FIRST_ID, LAST_ID, WRITES, Action, Change, IdRange
from code_patterns.sync.runs.full import FullRun, defer_indexing
from code_patterns.sync.runs.opening import open_run
from code_patterns.sync.sync_settings import SyncSettings

log = logging.getLogger(__name__)

SHARD_WRITES = 25_000
"""Patterns to write per shard. The hashing embedder, the fastest, takes ten seconds for them on one core; starting a
task takes little beside that. Patterns that are only compared do not count: they take a twentieth of an embedding
server's time, and the full sync compares them anyway."""
MOST_SHARDS = 4
"""Most shards by default: each sends the embedding server as many requests at once as a whole run."""
SAMPLED_PATTERNS = 1_000
"""Patterns that are compared to estimate how many are to be written, and where."""


@dataclass(frozen=True)
class Partition:
    """How a full sync is cut.

    :param ranges: the range of each shard, together all ids; empty if one task is better
    :param points: number of points before any shard; ``None`` without shards
    """

    ranges: Sequence[IdRange] = ()
    points: int | None = None


async def partition(
    postgres: PostgresConfig, qdrant: QdrantConfig, embedding: EmbeddingConfig, settings: SyncSettings
) -> Partition:
    """Estimate whether a full sync has enough to write for several workers, and cut it into id ranges.

    The collection is created by the opening, once, so that no two shards create it.

    :raises ConfigurationError: a person must change something first
    :raises OutageError: a server is away
    """
    if settings.dry_run or settings.limit or settings.rollback or settings.shards == 1:
        return Partition()
    if qdrant.path:
        log.info("No shards: Qdrant's embedded storage of %s can be opened by one process only.", qdrant.address)
        return Partition()
    async with open_run(postgres, qdrant, embedding, settings, RunIdentity(uuid4()), FullRun()) as (_, run):
        total = await run.source.count_code()
        sample = await run.detector.sampled(SAMPLED_PATTERNS)
        writes = round(total * sum(map(_writes, sample)) / len(sample)) if sample else 0
        wanted = settings.shards or min(writes // SHARD_WRITES, MOST_SHARDS)
        ranges = cut(sample, wanted)
        log.info(
            "About %s of %s patterns are to be written: %s.",
            f"{writes:,}",
            f"{total:,}",
            f"{len(ranges)} shards" if ranges else "one task does it all",
        )
        if not ranges:
            return Partition()
        points = await run.stored.count()
        await run.before_write()
        await defer_indexing(run, total)
        return Partition(ranges, points)


def cut(sample: Sequence[Change], wanted: int) -> list[IdRange]:
    """Cut all ids into ranges with about the same number of writes, or of patterns if there is nothing to write.

    :param sample: what patterns need, spread evenly over the ids, in id order
    :param wanted: number of ranges; a small sample may give fewer
    :return: ranges of all ids; nothing if it would be a single range
    """
    weights = [_writes(change) for change in sample]
    done = list(accumulate(weights if any(weights) else [True] * len(sample)))
    # The first sampled pattern beyond a range's share of the writes starts the next range.
    starts = {sample[bisect_right(done, number * done[-1] / wanted)].id for number in range(1, wanted) if sample}
    bounds = [FIRST_ID, *sorted(starts - {FIRST_ID})]
    ranges = [IdRange(first, UUID(int=following.int - 1)) for first, following in pairwise(bounds)]
    return [*ranges, IdRange(bounds[-1], LAST_ID)] if ranges else []


def _writes(change: Change) -> bool:
    return change.action in WRITES - {Action.DELETE}
