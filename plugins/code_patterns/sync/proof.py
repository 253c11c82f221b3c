"""Prove that both sides agree, independently: a proof that reads as the sync reads would repeat its mistakes.

It shares only the definition of a pattern's content with the sync (:mod:`code_patterns.sync.pattern`). Session,
horizon, statements, scrolling and excuses are its own. Both servers also count their side, so a skipped row or point is
noticed.
"""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Generic
from uuid import UUID

from code_patterns.codes import Code
from code_patterns.errors import ParityError
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.diff import IdRange, PointId
from code_patterns.sync.digests import Digests, KnownRange, RangeCutter
from code_patterns.sync.findings import Findings, Flaw, PackedIds
from code_patterns.sync.pattern import Pattern, SourceRow, UnreadableRowError, pattern_of
from code_patterns.sync.proof_levels import SCROLL_POINTS, HashLevel, Level, Point
from code_patterns.sync.proof_session import ProofSession
from code_patterns.sync.streams import Cut, flattened, joined, prefetched

log = logging.getLogger(__name__)

MAX_NAMED = 200
"""Most wrong points of each kind that the log names, one per line; all are counted."""
BY_TEXT = itemgetter(0)
"""Ids as text have the order of their numbers."""
KEPT_AT_ONCE = 400
"""Digests that are learnt before they are kept: a proof that is killed has these ranges behind it."""
COMPARED_AT_ONCE = 100
"""Patterns that are made of rows at once: several times the bytes of the rows."""


class Proof(Generic[Point]):
    """One comparison of everything.

    :param session: the session on PostgreSQL
    :param points: how to read the collection: every replica, or none
    :param level: how closely points are compared
    :param digests: what is known of id ranges; learns what is found
    :param keep: keeps what was learnt
    :param due: first ids of the ranges that are compared at that level even if their digests are as before
    """

    def __init__(
        self,
        session: ProofSession,
        points: AgreedPoints,
        level: Level[Point],
        digests: Digests,
        keep: Callable[[Digests], Awaitable[None]],
        due: Container[UUID] = frozenset(),
    ) -> None:
        self._session = session
        self._points = points
        self._level = level
        self._hashes = HashLevel(points)
        self._digests = digests
        self._keep = keep
        self._due = due
        self._whole_at: datetime | None = None
        self._collection = collection = points.collection
        self._recipe = collection.recipe
        self._words = collection.words

    async def agreed(self) -> int | None:
        """Return the number of patterns if both sides agree without any excuse; ``None`` at the first difference.

        :raises ParityError: points were skipped
        """
        found = Findings()
        async with self._session.snapshot() as (rows, _):
            # Counting is cheaper than the first page if one side is empty or far behind.
            if rows != await self._count_points() or not await self._points.replicas_agree():
                return None
            async with aclosing(self._looked_at(found)) as looks:
                async for _ in looks:
                    if found.wrong:
                        return None
        self._nothing_skipped(found, rows, rows)
        return found.patterns

    async def findings(self, horizon: int) -> Findings:
        """Compare everything.

        :param horizon: changes by this and later transactions are left to the next run and are not wrong
        :raises ParityError: rows or points were skipped
        """
        started = time.monotonic()
        found = Findings()
        async with self._session.snapshot() as (rows, at):
            self._whole_at = at if self._level.whole else None
            points = await self._count_points()
            if points and not await self._points.replicas_agree():
                raise _disagreement(self._collection.physical)
            async for _ in self._looked_at(found):
                pass
        self._nothing_skipped(found, rows, points)
        for flaw in Flaw:
            await self._excuse(found, flaw, horizon)
        seconds = time.monotonic() - started
        log.info(
            "Compared %s patterns in %.1f s (%s per second), %s of them by the digests of their ranges:\n"
            "  %s wrong\n  %s changed meanwhile and wait for the next sync\n  %s differ as dead letters%s",
            f"{found.patterns:,}",
            seconds,
            f"{found.patterns / seconds if seconds else 0:,.0f}",
            f"{found.by_digest:,}",
            f"{found.wrong:,}",
            f"{found.moving:,}",
            f"{len(found.parked):,}",
            _named(found.parked.first(1)),
        )
        for flaw, count in found.counts().items():
            for node_id in found.named(flaw, MAX_NAMED):
                log.warning("%s: %s", node_id, flaw.value)
            if count > MAX_NAMED:
                log.warning("%s more points are %s.", f"{count - MAX_NAMED:,}", flaw.value)
        return found

    async def _looked_at(self, found: Findings) -> AsyncGenerator[None]:
        """Compare everything, range by range."""
        await self._read_integers(found)
        ranges = self._digests.ranges()
        trusted = [one.ids for one in ranges if self._trusts(one)]
        async with aclosing(prefetched(self._session.digests(trusted))) as pages:
            now = flattened(pages)
            for trusts, group in groupby(ranges, self._trusts):
                some = list(group)
                looked = self._by_digest(some, now, found) if trusts else self._in_full(_union(some), found)
                async with aclosing(looked):
                    async for _ in looked:
                        yield
        await self._keep(self._digests)

    def _trusts(self, one: KnownRange) -> bool:
        return one.known is not None and one.known.first not in self._due

    async def _by_digest(
        self, ranges: Sequence[KnownRange], now: AsyncIterator[tuple[UUID, int, bytes]], found: Findings
    ) -> AsyncGenerator[None]:
        """Compare the digests of consecutive ranges; read those in full that have others than before.

        :param now: first id, number of rows and digest of these ranges and others behind them
        """
        async with aclosing(prefetched(self._hashes.hashes(_union(ranges)))) as pages:
            points = Cut(pages, BY_TEXT)
            for one in ranges:
                here = await points.until(str(one.ids.last))
                first, rows, digest = await anext(now)
                known = one.known
                if (
                    known is not None
                    and (first, digest) == (one.ids.first, known.rows)
                    and len(here) == rows
                    and self._digests.of(here) == known.points
                ):
                    found.patterns += rows
                    found.rows += rows
                    found.points += rows
                    found.by_digest += rows
                    yield
                    continue
                async with aclosing(self._in_full(one.ids, found)) as looked:
                    async for _ in looked:
                        yield

    async def _in_full(self, within: IdRange, found: Findings) -> AsyncGenerator[None]:
        """Join both sides of an id range, and learn its digests."""
        cutter = RangeCutter(within, self._digests)
        async with (
            aclosing(prefetched(self._session.rows(within))) as row_pages,
            aclosing(prefetched(self._level.pages(within))) as point_pages,
        ):
            async for rows, points in joined(row_pages, point_pages):
                found.rows += len(rows)
                found.points += len(points)
                unmatched = {point.id: point for point in points}
                for start in range(0, len(rows), COMPARED_AT_ONCE):
                    self._compare(rows[start : start + COMPARED_AT_ONCE], unmatched, found, cutter)
                if unmatched:
                    found.patterns += len(unmatched)
                    found.add(Flaw.FOREIGN, list(unmatched))
                    cutter.doubt()
                if self._digests.unkept >= KEPT_AT_ONCE:
                    await self._keep(self._digests)
                yield
        cutter.end(whole_at=self._whole_at)

    async def _read_integers(self, found: Findings) -> None:
        """Points whose id is an integer are foreign; in Qdrant they come before the others."""
        offset: Any = None
        limit = 1
        while self._collection.stored:
            records, offset = await self._points.page(
                f"proving '{self._collection.physical}'", limit, offset, payload=False
            )
            limit = SCROLL_POINTS
            integers = [record.id for record in records if isinstance(record.id, int)]
            found.points += len(integers)
            found.patterns += len(integers)
            found.add(Flaw.FOREIGN, integers)
            if offset is None or len(integers) < len(records):
                return

    def _compare(
        self, rows: Sequence[SourceRow], points: dict[PointId, Point], found: Findings, cutter: RangeCutter
    ) -> None:
        """Compare some rows with their points, and take these away."""
        found.patterns += len(rows)
        patterns: list[Pattern] = []
        pairs: list[tuple[Pattern, Point]] = []
        wrong_before = found.wrong
        for row in rows:
            point = points.pop(row.id, None)
            try:
                pattern = pattern_of(row, self._recipe, words=self._words)
            except UnreadableRowError:
                # While the row is a dead letter, its earlier point stays in Qdrant.
                found.add(Flaw.UNREADABLE, [row.id])
                continue
            patterns.append(pattern)
            if point is None:
                found.add(Flaw.MISSING, [row.id])
            else:
                pairs.append((pattern, point))
        for (pattern, _), flaw in zip(pairs, self._level.flaws(pairs), strict=True):
            if flaw:
                found.add(flaw, [pattern.id])
        agreed = found.wrong == wrong_before
        whole_at = self._whole_at if agreed else None
        cutter.add(rows, patterns, whole_at=whole_at, refuted=self._level.whole and not agreed)

    async def _excuse(self, found: Findings, flaw: Flaw, horizon: int) -> None:
        """Remove what is about to change, and dead letters, from the findings; a point without a row is neither."""
        wrong = PackedIds()
        for ids in found.of(flaw).pages():
            moving = await self._session.moving(ids, horizon)
            found.moving += len(moving)
            rest = [node_id for node_id in ids if node_id not in moving]
            parked: set[UUID] = set()
            if rest and flaw is not Flaw.FOREIGN:
                parked = await self._session.parked(rest, self._collection)
                found.parked.add(sorted(parked))
            wrong.add([node_id for node_id in rest if node_id not in parked])
        found.replace(flaw, wrong)

    async def _count_points(self) -> int:
        return await self._points.count() if self._collection.stored else 0

    def _nothing_skipped(self, found: Findings, rows: int, points: int) -> None:
        if (found.rows, found.points) == (rows, points):
            return
        doubt = (
            " Do its replicas disagree? The full sync writes again what differs." if self._collection.replicated else ""
        )
        raise ParityError(
            Code.PROOF_INCOMPLETE,
            f"The proof of '{self._collection.name}' read {found.rows:,} of {rows:,} rows of PostgreSQL and "
            f"{found.points:,} of {points:,} points of Qdrant, so nothing is proven. Does something else write to "
            f"'{self._collection.physical}'?{doubt} The next try looks again.",
        )


def _union(ranges: Sequence[KnownRange]) -> IdRange:
    return IdRange(ranges[0].ids.first, ranges[-1].ids.last)


def _disagreement(physical: str) -> ParityError:
    return ParityError(
        Code.REPLICAS_DIFFER,
        f"The replicas of '{physical}' in Qdrant hold different numbers of points, so nothing is proven: a deletion "
        "has reached some of them and not others. The full sync deletes once more what was deleted in PostgreSQL. If "
        "that does not help, drop one replica of each shard in Qdrant (drop_replica) and make it again "
        "(replicate_shard).",
    )


def _named(ids: Sequence[UUID]) -> str:
    return f" (such as {', '.join(map(str, ids))})" if ids else ""
