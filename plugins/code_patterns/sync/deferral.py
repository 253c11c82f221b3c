"""Defer the index of a collection during its first load.

Qdrant builds the index of a segment when it is large enough, and builds much of it again when it merges segments.
During a first load it is told to build none, as its documentation says for bulk uploads. During a large one it indexes
words in large pieces that it hardly merges, and builds no graph of the vectors. The options that it is to get back are
in the collection's description. So any run can give them back, also after the one that took them was killed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from qdrant_client import models

from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_options import CollectionOptions
from code_patterns.sync.collection import Collection, StoredCollection, read_stored
from code_patterns.sync.collection_options import EDGES, SEGMENTS, THRESHOLD, options_of, set_options
from code_patterns.sync.publication import note_deferred

log = logging.getLogger(__name__)

QDRANTS = {THRESHOLD: 10_000, EDGES: 16, SEGMENTS: 0}
"""The options of a collection that says none."""
NEVER = 0
"""The ``indexing_threshold`` by which Qdrant builds no index."""
MOST_UNINDEXED = 50_000
"""Points of a segment without an index. For each word of a new point Qdrant 1.18 goes through all points of its segment
that have the word (``PostingList::propagate_max_next_weight_to_the_left`` in ``lib/sparse``), until it has an index."""
MOST_PIECES = 32
"""Segments above which Qdrant merges the smallest ones. By default that are few, one for two processors, and it merges
nearly all of a collection that grows, again and again (``MergeOptimizer`` in ``lib/shard``)."""
QUIET_SECONDS = 2.0
"""After :func:`resume` Qdrant begins to index in the background. It is done if it says so for this long."""
MOST_HOURS = 6.0
"""How long readers of the present collection wait for the index of its successor."""
_POLL_SECONDS = 0.2
_LONGEST_POLL_SECONDS = 5.0
_NOTICE_SECONDS = 60.0
_BYTES_PER_NUMBER = 4


def is_loading(qdrant: Qdrant, collection: Collection) -> bool:
    """Whether a collection never was complete, and has an index that could be deferred."""
    return not qdrant.config.path and collection.stored is not None and collection.description.points is None


async def defer(qdrant: Qdrant, collection: Collection, rows: int, points: int) -> Collection:
    """Let Qdrant build no index until :func:`resume`, if most points are still missing and it would build one.

    :param collection: a collection for which :func:`is_loading` is true
    :param rows: number of patterns
    :param points: number of points
    """
    stored = await read_stored(qdrant, collection.physical)
    found, noted = _index_options(stored), collection.description.deferred
    if noted is None:
        threshold = found[THRESHOLD]
        if threshold == NEVER or _kilobytes(rows, collection) < threshold or points * 2 > rows:
            return collection
        log.info("Qdrant builds the whole index of '%s' when its first load is complete.", collection.physical)
    # An earlier version took fewer of them.
    if noted is None or found.keys() - noted.keys():
        # First: whoever comes after a kill must know what to give back.
        collection = await note_deferred(qdrant, collection, found | dict(noted or {}))
    loading = found | _while_loading(collection, rows)
    if found != loading:
        await _set(qdrant, stored, loading)
    return collection


def _index_options(stored: StoredCollection) -> dict[str, int]:
    """The options that change while a collection loads, as it has them."""
    found = options_of(stored.config) if stored.config else {}
    return {name: found.get(name, unnamed) for name, unnamed in QDRANTS.items()}


def _while_loading(collection: Collection, rows: int) -> dict[str, int]:
    """The options during a first load. The threshold is never lower than the one that it takes the place of."""
    if rows <= MOST_UNINDEXED:
        return {THRESHOLD: NEVER}
    had = (collection.description.deferred or {}).get(THRESHOLD, NEVER)
    return {THRESHOLD: max(_kilobytes(MOST_UNINDEXED, collection), had), EDGES: 0, SEGMENTS: MOST_PIECES}


def _kilobytes(points: int, collection: Collection) -> int:
    """The size of so many vectors as Qdrant counts it, in kB."""
    return points * collection.embedding.dimension * _BYTES_PER_NUMBER // 1024


async def resume(qdrant: Qdrant, collection: Collection) -> Collection:
    """Let Qdrant build the index that was deferred, if one was.

    It gets the options that the connection names, or those it had.
    """
    deferred = collection.description.deferred
    if deferred is None:
        return collection
    named = qdrant.config.collection.named
    log.info("Qdrant builds the index of '%s' now.", collection.physical)
    stored = await read_stored(qdrant, collection.physical)
    await _set(qdrant, stored, {name: named.get(name, value) for name, value in deferred.items()})
    return await note_deferred(qdrant, collection, None)


async def until_indexed(
    qdrant: Qdrant, physical: str, still_ours: Callable[[], Awaitable[None]], quiet_seconds: float = 0.0
) -> bool:
    """Wait until Qdrant has built the index of a collection that nobody writes.

    :param physical: the real collection
    :param still_ours: called while it waits; its errors end the wait
    :param quiet_seconds: how long Qdrant must say that it is done
    :return: whether there was something to wait for
    """
    started = noticed = time.monotonic()
    pause, quiet_since, waited = _POLL_SECONDS, started, False
    while True:
        info = await qdrant.call(f"reading '{physical}'", lambda: qdrant.client.get_collection(physical))
        now = time.monotonic()
        if info.status is models.CollectionStatus.RED:
            log.warning("Qdrant cannot index '%s': %s. Its log says more.", physical, info.optimizer_status)
            return waited
        if info.status is models.CollectionStatus.GREEN:
            if now - quiet_since >= quiet_seconds:
                return waited
        else:
            waited, quiet_since = True, now
            if info.status is models.CollectionStatus.GREY:
                # After a restart of the server it waits for a change.
                await _wake(qdrant, physical)
        if now - started >= MOST_HOURS * 3600:
            log.warning(
                "Qdrant still indexes '%s' after %.0f hours. Readers see it all the same.", physical, MOST_HOURS
            )
            return waited
        if now - noticed >= _NOTICE_SECONDS:
            noticed = now
            log.info("Waiting for the index of '%s': %s.", physical, _progress(info))
        await still_ours()
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


def _progress(info: models.CollectionInfo) -> str:
    return f"{info.indexed_vectors_count or 0:,} vectors of {info.points_count or 0:,} points"


async def _set(qdrant: Qdrant, stored: StoredCollection, options: Mapping[str, int]) -> None:
    groups: dict[str, dict[str, int]] = {}
    for name, value in options.items():
        group, _, part = name.partition(".")
        groups.setdefault(group, {})[part] = value
    await set_options(qdrant, stored, CollectionOptions.model_validate(groups), list(options))


async def _wake(qdrant: Qdrant, physical: str) -> None:
    config = models.OptimizersConfigDiff()
    await qdrant.call(
        f"waking the optimizers of '{physical}'",
        lambda: qdrant.client.update_collection(physical, optimizers_config=config),
    )
