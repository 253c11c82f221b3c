"""Find what to do: read both sides page by page and compare them. Nothing here writes."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from uuid import UUID

from code_patterns.sync.collection import Collection as QdrantCollection
from code_patterns.sync.diff import ALL_IDS, Change, Fingerprint, IdRange, Watermark, decide
from code_patterns.sync.findings import Flaw
from code_patterns.sync.orphans import Points
from code_patterns.sync.pattern import SourceRow
from code_patterns.sync.snapshot import Span
from code_patterns.sync.source import LOOKUP_ROWS, PAGE_ROWS, PatternSource
from code_patterns.sync.stored_points import StoredPoints
from code_patterns.sync.streams import joined, prefetched
from code_patterns.sync.sync_settings import Interval


class ChangeDetector:
    """Compares rows with points.

    :param source: the rows
    :param stored: the points
    :param collection: says how its points are made
    """

    def __init__(self, source: PatternSource, stored: StoredPoints, collection: QdrantCollection) -> None:
        self._source = source
        self._stored = stored
        self._decide = partial(decide, recipe=collection.recipe, words=collection.words)

    async def since(
        self, span: Span, *, dead_letters: Collection[UUID] = (), limit: int | None = None, moves: bool = True
    ) -> AsyncGenerator[Change]:
        """What changed in a span.

        Dead letters come first, then deletions, then rows. Only rows move the watermark, so it never passes a deletion
        that is not done.

        :param dead_letters: rows that earlier runs parked, to be tried again
        :param limit: most changed rows
        :param moves: whether the changes move the watermark
        """
        async with aclosing(self.looked_up(dead_letters, span)) as changes:
            async for change in changes:
                yield change
        async for tombstones in self._source.tombstone_pages(span):
            deleted_at = {tombstone.id: tombstone.deleted_at for tombstone in tombstones}
            async for change in self._looked_up(list(deleted_at), span):
                yield replace(change, changed_at=deleted_at[change.id])
        pages = self._source.changed_pages(span)
        async with aclosing(self._compared(pages, limit, span if moves else None)) as changes:
            async for change in changes:
                yield replace(change, fresh=True)

    async def newest(self, span: Span, most: int) -> AsyncGenerator[Change]:
        """Some of the rows that changed in a span, the newest transaction first; they move no watermark.

        :param most: most rows
        """
        async with aclosing(self._compared(self._source.newest_page(span, most), None)) as changes:
            async for change in changes:
                yield replace(change, fresh=True)

    async def looked_up(self, ids: Collection[UUID], span: Span) -> AsyncGenerator[Change]:
        """What single patterns need, whenever they changed; without those that come with the rows of a span."""
        pages = sorted(ids)
        for start in range(0, len(pages), PAGE_ROWS):
            async for change in self._looked_up(pages[start : start + PAGE_ROWS], span):
                yield change

    async def within(self, interval: Interval, limit: int | None) -> AsyncGenerator[Change]:
        """The rows created or updated in a span of time."""
        pages = self._source.interval_pages(interval.start, interval.end)
        async with aclosing(self._compared(pages, limit)) as changes:
            async for change in changes:
                yield change

    async def everything(
        self,
        points: Points,
        limit: int | None = None,
        within: IdRange | None = None,
        synced: Watermark | None = None,
    ) -> AsyncGenerator[Change]:
        """All code patterns beside all points, both in id order.

        :param points: collects the orphans, which are not part of the result
        :param limit: most rows; orphans are then incomplete
        :param within: only this id range
        :param synced: what changed until here was synced before; ``None`` if nobody knows
        """
        given = 0
        async with (
            aclosing(prefetched(self._source.code_pages(within or ALL_IDS))) as row_pages,
            aclosing(prefetched(self._point_pages(points, within))) as point_pages,
        ):
            async for rows, fingerprints in joined(row_pages, point_pages):
                by_id = {point.id: point for point in fingerprints}
                for row in rows:
                    if given == limit:
                        return
                    given += 1
                    change = self._decide(row.id, row, by_id.pop(row.id, None))
                    fresh = synced is not None and row.sync_xid is not None and Watermark(row.sync_xid, row.id) > synced
                    yield replace(change, fresh=True) if fresh else change
                for node_id in by_id:
                    points.add_orphan(node_id)

    async def _point_pages(self, points: Points, within: IdRange | None) -> AsyncIterator[list[Fingerprint]]:
        """The points with a UUID; a point with an integer id is an orphan at once."""
        async for page in self._stored.pages(within):
            points.seen += len(page)
            if isinstance(page[0].id, int):
                points.foreign += [point.id for point in page if isinstance(point.id, int)]
                page = [point for point in page if not isinstance(point.id, int)]
            if page:
                yield page

    async def sampled(self, count: int) -> list[Change]:
        """What some code patterns need, spread evenly over the ids, in id order; without the patterns themselves.

        :param count: how many
        """
        return await self.compared(await self._source.sample_ids(count))

    async def compared(self, ids: Sequence[UUID]) -> list[Change]:
        """What these patterns need, in the order of the ids; without the patterns themselves."""
        found: list[Change] = []
        for start in range(0, len(ids), LOOKUP_ROWS):
            part = ids[start : start + LOOKUP_ROWS]
            rows = await self._source.rows_by_id(part)
            points = await self._stored.fingerprints(part)
            changes = (self._decide(node_id, rows.get(node_id), points.get(node_id)) for node_id in part)
            found += [replace(change, pattern=None) for change in changes]
        return found

    async def mends(self, ids: Iterable[Sequence[UUID]], flaw: Flaw) -> AsyncGenerator[Change]:
        """Writes for points that a proof found wrong, whatever their hashes are.

        Only words can be mended alone; any other flaw of a point has it written as a whole.

        :param ids: ids in pages
        :param flaw: what is wrong with them
        """
        for page in ids:
            rows = await self._source.rows_by_id(page)
            points = await self._stored.fingerprints(page)
            for node_id in page:
                point = points.get(node_id)
                yield self._decide(node_id, rows.get(node_id), point and _doubted(point, flaw))

    async def _looked_up(self, ids: Sequence[UUID], span: Span) -> AsyncIterator[Change]:
        """Compare single ids as they are now; leave out rows that come with the changed rows of the span."""
        points = await self._stored.fingerprints(ids)
        for start in range(0, len(ids), LOOKUP_ROWS):
            part = ids[start : start + LOOKUP_ROWS]
            rows = await self._source.rows_by_id(part)
            for node_id in part:
                row = rows.get(node_id)
                if row is None or row.sync_xid is None or not span.holds(Watermark(row.sync_xid, row.id)):
                    yield self._decide(node_id, row, points.get(node_id))

    async def _compared(
        self, pages: AsyncIterator[list[SourceRow]], limit: int | None, moves: Span | None = None
    ) -> AsyncGenerator[Change]:
        """Compare rows in pages.

        :param limit: most rows
        :param moves: the span that they are read from in watermark order, if they move the watermark
        """
        given = 0
        async with aclosing(prefetched(pages)) as fetched:
            async for rows in fetched:
                points = await self._stored.fingerprints([row.id for row in rows])
                for row in rows:
                    if given == limit:
                        return
                    given += 1
                    mark = moves.moves_to(Watermark(row.sync_xid, row.id)) if moves and row.sync_xid else None
                    yield self._decide(row.id, row, points.get(row.id), watermark=mark)


def _doubted(point: Fingerprint, flaw: Flaw) -> Fingerprint:
    """The fingerprint without the hash that claims what a proof has refuted."""
    return replace(point, words_hash=None) if flaw is Flaw.WORDS else replace(point, embedding_hash=None)
