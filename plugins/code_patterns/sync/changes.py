"""Finding out what to do: reading both sides page by page and comparing them. Nothing here writes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from code_patterns.sync.pattern import SourceRow
from code_patterns.sync.plan import Action, Change, Fingerprint, PointId, Watermark, decide
from code_patterns.sync.settings import Interval
from code_patterns.sync.source import PAGE_ROWS, Horizon, PatternSource
from code_patterns.sync.target import PatternTarget

Item = TypeVar("Item")


@dataclass(slots=True)
class Points:
    """What a comparison saw in Qdrant.

    :param seen: points looked at
    :param foreign: orphans whose id is an integer, which no row can have
    """

    seen: int = 0
    foreign: list[int] = field(default_factory=list)
    _orphans: bytearray = field(default_factory=bytearray)

    def add_orphan(self, node_id: PointId) -> None:
        """Note a point that no code pattern stands behind; 16 bytes each, so that millions fit."""
        if isinstance(node_id, int):
            self.foreign.append(node_id)
        else:
            self._orphans += node_id.bytes

    @property
    def orphans(self) -> int:
        """How many orphans there are."""
        return len(self.foreign) + len(self._orphans) // 16

    def orphan_batches(self, size: int) -> Iterator[list[UUID]]:
        """The orphans whose id is a UUID, some at a time."""
        for start in range(0, len(self._orphans), 16 * size):
            part = self._orphans[start : start + 16 * size]
            yield [UUID(bytes=bytes(part[at : at + 16])) for at in range(0, len(part), 16)]


class ChangeReader:
    """Compares rows with points.

    :param source: the rows
    :param target: the points
    """

    def __init__(self, source: PatternSource, target: PatternTarget) -> None:
        self._source = source
        self._target = target
        self._recipe = target.collection.recipe

    async def since(
        self, watermark: Watermark, horizon: Horizon, failed: Collection[UUID], limit: int | None
    ) -> AsyncIterator[Change]:
        """What changed after the watermark and before the horizon.

        Parked failures come first, then deletions, then rows: only rows move the watermark, so it never passes
        a deletion that is not done.

        :param failed: rows parked by earlier runs, which are tried again
        :param limit: most changed rows to give
        """
        parked = sorted(failed)
        for start in range(0, len(parked), PAGE_ROWS):
            async for change in self._looked_up(parked[start : start + PAGE_ROWS], watermark, horizon):
                yield change
        async for ids in self._source.tombstone_pages(watermark, horizon):
            async for change in self._looked_up([*dict.fromkeys(ids)], watermark, horizon):
                yield change
        async for change in self._compared(self._source.changed_pages(watermark, horizon), limit, moves=True):
            yield change

    async def within(self, interval: Interval, limit: int | None) -> AsyncIterator[Change]:
        """The rows created or updated in a span of time."""
        pages = self._source.interval_pages(interval.start, interval.end)
        async for change in self._compared(pages, limit, moves=False):
            yield change

    async def everything(self, points: Points, limit: int | None = None) -> AsyncIterator[Change]:
        """All code patterns beside all points, both in id order.

        :param points: filled with the orphans on the way; they are not part of the result
        :param limit: most rows to give; orphans are then incomplete
        """
        given = 0
        async with aclosing(_merged(_items(self._source.code_pages()), _items(self._target.pages()))) as pairs:
            async for row, point in pairs:
                if point is not None:
                    points.seen += 1
                if row is None:
                    if point is not None:
                        points.add_orphan(point.id)
                    continue
                if given == limit:
                    return
                given += 1
                yield decide(row.id, row, point, self._recipe)

    async def _looked_up(self, ids: Sequence[UUID], watermark: Watermark, horizon: Horizon) -> AsyncIterator[Change]:
        """Compare single ids as they are now, but leave out rows that come with the changed rows anyway."""
        rows = await self._source.rows_by_id(ids)
        points = await self._target.fingerprints(ids)
        for node_id in ids:
            row = rows.get(node_id)
            comes_later = (
                row is not None
                and row.sync_xid is not None
                and row.sync_xid < horizon.xid
                and Watermark(row.sync_xid, row.id) > watermark
            )
            if not comes_later:
                yield decide(node_id, row, points.get(node_id), self._recipe)

    async def _compared(
        self, pages: AsyncIterator[list[SourceRow]], limit: int | None, *, moves: bool
    ) -> AsyncIterator[Change]:
        given = 0
        async with aclosing(_prefetched(pages)) as fetched:
            async for rows in fetched:
                points = await self._target.fingerprints([row.id for row in rows])
                for row in rows:
                    if given == limit:
                        return
                    given += 1
                    mark = Watermark(row.sync_xid, row.id) if moves and row.sync_xid is not None else None
                    yield decide(row.id, row, points.get(row.id), self._recipe, mark)


def is_difference(change: Change) -> bool:
    """Whether both sides disagree about a pattern."""
    return change.action not in (Action.UNCHANGED, Action.ABSENT)


async def _prefetched(pages: AsyncIterator[Item]) -> AsyncGenerator[Item]:
    """Fetch the next page while the current one is worked on."""

    async def following() -> Item | None:
        return await anext(pages, None)

    task = asyncio.create_task(following())
    try:
        while (page := await task) is not None:
            task = asyncio.create_task(following())
            yield page
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _items(pages: AsyncIterator[list[Item]]) -> AsyncGenerator[Item]:
    async with aclosing(_prefetched(pages)) as fetched:
        async for page in fetched:
            for item in page:
                yield item


async def _merged(
    rows: AsyncIterator[SourceRow], points: AsyncIterator[Fingerprint]
) -> AsyncGenerator[tuple[SourceRow | None, Fingerprint | None]]:
    """Pair rows and points of the same id; both come in id order, integer ids before UUIDs as in Qdrant."""
    row, point = await anext(rows, None), await anext(points, None)
    while row is not None or point is not None:
        if row is not None and (point is None or _comes_before(row.id, point.id)):
            yield row, None
            row = await anext(rows, None)
        elif point is not None and (row is None or _comes_before(point.id, row.id)):
            yield None, point
            point = await anext(points, None)
        else:
            yield row, point
            row, point = await anext(rows, None), await anext(points, None)


def _comes_before(one: PointId, other: PointId) -> bool:
    if isinstance(one, int) or isinstance(other, int):
        return isinstance(one, int) and (not isinstance(other, int) or one < other)
    return one < other
