"""Reading both sides whole and finding where they disagree, whatever the stored hashes claim."""

import hashlib
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from code_patterns.errors import ConfigurationError
from code_patterns.sync.diff import PointId, Watermark
from code_patterns.sync.pattern import SourceRow, UnreadableRowError, pattern_of
from code_patterns.sync.source import PatternSource
from code_patterns.sync.stored_point import StoredPoint
from code_patterns.sync.streams import joined, prefetched
from code_patterns.sync.target import PatternTarget

log = logging.getLogger(__name__)

MAX_NAMED = 1_000
"""Wrong points that are named in the log, one line each."""


class Flaw(Enum):
    """What is wrong with one point."""

    MISSING = "missing in Qdrant"
    EDITED = "with a payload that is not the row's"
    VECTOR = "with a vector that is zero, not finite or of another length"
    FOREIGN = "with no code pattern behind"


@dataclass(frozen=True, slots=True)
class Difference:
    """One point that is not as its row wants it."""

    id: PointId
    flaw: Flaw


@dataclass(slots=True)
class Verification:
    """What was looked at and found.

    :param patterns: rows and points, each pair counted once
    :param ranges: id ranges compared by digest
    :param differing_ranges: ranges whose digests differed
    :param foreign: points whose id is an integer, which no row can have
    :param wrong: what differs and should not
    """

    patterns: int = 0
    ranges: int = 0
    differing_ranges: int = 0
    foreign: list[int] = field(default_factory=list)
    wrong: list[Difference] = field(default_factory=list)


async def verify(
    source: PatternSource, target: PatternTarget, watermark: Watermark, dead_letters: frozenset[UUID]
) -> Verification:
    """Compare every row with its whole point.

    A vector that is another one than the text's, but of the right length and not zero, is not found: only embedding
    every text again could tell.

    :param source: the rows
    :param target: the points
    :param watermark: what changed after it waits for the next sync and is no flaw
    :param dead_letters: parked rows, which are no flaw either
    """
    started = time.monotonic()
    verification = Verification()
    found = [difference async for difference in _differences(source, target, verification)]
    suspects = [difference.id for difference in found if isinstance(difference.id, UUID)]
    excused = dead_letters | (await source.touched_since(watermark.xid, suspects) if suspects else set())
    verification.wrong = [difference for difference in found if difference.id not in excused]
    seconds = time.monotonic() - started
    log.info(
        "Read %s patterns whole on both sides in %.1f s (%.0f per second): %d of %d id ranges differ, %d points are "
        "wrong, %d wait for the next sync or are parked as dead letters.",
        f"{verification.patterns:,}",
        seconds,
        verification.patterns / seconds if seconds else 0,
        verification.differing_ranges,
        verification.ranges,
        len(verification.wrong),
        len(found) - len(verification.wrong),
    )
    for difference in verification.wrong[:MAX_NAMED]:
        log.warning("%s: %s", difference.id, difference.flaw.value)
    return verification


def wrong_points(name: str, wrong: Sequence[Difference]) -> ConfigurationError:
    """Say how many points of a collection are wrong, how, and what to do."""
    flaws = Counter(difference.flaw for difference in wrong)
    told = "; ".join(f"{count} {flaw.value}" for flaw, count in flaws.items())
    examples = ", ".join(str(difference.id) for difference in wrong[:10])
    return ConfigurationError(
        f"{len(wrong)} points of '{name}' are not as PostgreSQL wants them: {told}. For example {examples}; the log "
        "above names more. Run pattern_verify with the Param heal to write exactly these anew."
    )


async def _differences(
    source: PatternSource, target: PatternTarget, verification: Verification
) -> AsyncIterator[Difference]:
    """Compare both sides by digests of id ranges, and look at single ids only where these differ."""
    async with (
        aclosing(prefetched(source.code_pages())) as row_pages,
        aclosing(prefetched(_uuid_points(target, verification))) as point_pages,
    ):
        async for rows, points in joined(row_pages, point_pages):
            expected, unreadable = _expected(rows, target.collection.recipe)
            # Whatever an earlier version of an unreadable row left in Qdrant stays: the row is a dead letter.
            found = {point.id: point for point in points if point.id not in unreadable}
            digests = {node_id: _digest(found[node_id].payload, expected.get(node_id, {})) for node_id in found}
            wanted = {node_id: _digest(payload, payload) for node_id, payload in expected.items()}
            unusable = {node_id for node_id, point in found.items() if not point.vector_usable}
            verification.patterns += len(wanted.keys() | digests.keys())
            verification.ranges += 1
            if unusable or _digest_of(wanted) != _digest_of(digests):
                verification.differing_ranges += 1
                for node_id in wanted.keys() & digests.keys():
                    payload, stored = expected[node_id], found[node_id].payload
                    if wanted[node_id] != digests[node_id] and _alike(
                        payload, {key: stored.get(key) for key in payload}
                    ):
                        digests[node_id] = wanted[node_id]
                for difference in _narrow_down(wanted, digests, unusable):
                    yield difference
    for node_id in verification.foreign:
        yield Difference(node_id, Flaw.FOREIGN)


async def _uuid_points(target: PatternTarget, verification: Verification) -> AsyncIterator[list[StoredPoint]]:
    """The points that a row may stand behind; what has an integer for an id is foreign at once."""
    async for page in target.whole_pages():
        verification.foreign += [point.id for point in page if isinstance(point.id, int)]
        if rest := [point for point in page if not isinstance(point.id, int)]:
            yield rest


def _expected(rows: Sequence[SourceRow], recipe: str) -> tuple[dict[PointId, Mapping[str, Any]], set[PointId]]:
    payloads: dict[PointId, Mapping[str, Any]] = {}
    unreadable: set[PointId] = set()
    for row in rows:
        try:
            payloads[row.id] = pattern_of(row, recipe).payload
        except UnreadableRowError:
            unreadable.add(row.id)
    return payloads, unreadable


def _narrow_down(
    wanted: Mapping[PointId, bytes], found: Mapping[PointId, bytes], unusable: set[PointId]
) -> Iterator[Difference]:
    for node_id, digest in wanted.items():
        if node_id not in found:
            yield Difference(node_id, Flaw.MISSING)
        elif found[node_id] != digest:
            yield Difference(node_id, Flaw.EDITED)
        elif node_id in unusable:
            yield Difference(node_id, Flaw.VECTOR)
    for node_id in found.keys() - wanted.keys():
        yield Difference(node_id, Flaw.FOREIGN)


def _alike(wanted: Any, found: Any) -> bool:
    """Whether two JSON values agree but for the last digits of fractions.

    Qdrant's JSON parser (serde_json without its feature float_roundtrip) reads about one in ten numbers of 17 digits as
    a neighbour, up to two units in the last place away.
    """
    if isinstance(wanted, float) and isinstance(found, float):
        return math.isclose(wanted, found, rel_tol=1e-14)
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return wanted.keys() == found.keys() and all(_alike(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_alike, wanted, found))
    return type(wanted) is type(found) and bool(wanted == found)


def _digest(payload: Mapping[str, Any], keys: Iterable[str]) -> bytes:
    """Digest the keys that are ours; what something else has added to a payload is its own business."""
    ours = {key: payload.get(key) for key in keys}
    return hashlib.blake2b(orjson.dumps(ours, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _digest_of(digests: Mapping[PointId, bytes]) -> bytes:
    total = hashlib.blake2b(digest_size=16)
    for node_id, digest in digests.items():
        total.update(str(node_id).encode())
        total.update(digest)
    return total.digest()
