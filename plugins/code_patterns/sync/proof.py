"""Prove that both sides agree, independently: a proof that reads as the sync reads would repeat its mistakes.

It shares only the definition of a pattern's content with the sync (:mod:`code_patterns.sync.pattern`). Session,
horizon, statements, scrolling and excuses are its own. Both servers also count their side, so a skipped row or point is
noticed.
"""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Generic
from uuid import UUID

from code_patterns.errors import ParityError
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.diff import PointId
from code_patterns.sync.findings import Findings, Flaw, PackedIds
from code_patterns.sync.pattern import Pattern, SourceRow, UnreadableRowError, pattern_of
from code_patterns.sync.proof_levels import Level, Point
from code_patterns.sync.proof_session import ProofSession
from code_patterns.sync.streams import joined, prefetched

log = logging.getLogger(__name__)

MAX_NAMED = 200
"""Most wrong points of each kind that the log names, one per line; all are counted."""
COMPARED_AT_ONCE = 100
"""Patterns that are made of rows at once: several times the bytes of the rows."""


class Proof(Generic[Point]):
    """One comparison of everything.

    :param session: the session on PostgreSQL
    :param points: how to read the collection: every replica, or none
    :param level: how closely points are compared
    """

    def __init__(self, session: ProofSession, points: AgreedPoints, level: Level[Point]) -> None:
        self._session = session
        self._points = points
        self._level = level
        self._collection = collection = points.collection
        self._recipe = collection.recipe
        self._words = collection.words

    async def agreed(self) -> int | None:
        """Return the number of patterns if both sides agree without any excuse; ``None`` at the first difference.

        :raises ParityError: points were skipped
        """
        found = Findings()
        async with self._session.snapshot() as rows:
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
        async with self._session.snapshot() as rows:
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
            "Compared %s patterns in %.1f s (%s per second):\n"
            "  %s wrong\n  %s changed meanwhile and wait for the next sync\n  %s differ as dead letters%s",
            f"{found.patterns:,}",
            seconds,
            f"{found.patterns / seconds if seconds else 0:,.0f}",
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
        """Join both sides, range by range."""
        async with (
            aclosing(prefetched(self._session.rows())) as row_pages,
            aclosing(prefetched(self._uuid_points(found))) as point_pages,
        ):
            async for rows, points in joined(row_pages, point_pages):
                found.rows += len(rows)
                found.points += len(points)
                unmatched = {point.id: point for point in points}
                for start in range(0, len(rows), COMPARED_AT_ONCE):
                    self._compare(rows[start : start + COMPARED_AT_ONCE], unmatched, found)
                found.patterns += len(unmatched)
                found.add(Flaw.FOREIGN, list(unmatched))
                yield

    async def _uuid_points(self, found: Findings) -> AsyncIterator[list[Point]]:
        """The points with a UUID; a point with an integer id is foreign at once."""
        async for page in self._level.pages():
            if isinstance(page[0].id, int):
                integers = [point.id for point in page if isinstance(point.id, int)]
                found.points += len(integers)
                found.patterns += len(integers)
                found.add(Flaw.FOREIGN, integers)
                page = [point for point in page if not isinstance(point.id, int)]
            if page:
                yield page

    def _compare(self, rows: Sequence[SourceRow], points: dict[PointId, Point], found: Findings) -> None:
        """Compare some rows with their points, and take these away."""
        found.patterns += len(rows)
        pairs: list[tuple[Pattern, Point]] = []
        for row in rows:
            point = points.pop(row.id, None)
            try:
                pattern = pattern_of(row, self._recipe, words=self._words)
            except UnreadableRowError:
                # While the row is a dead letter, its earlier point stays in Qdrant.
                found.add(Flaw.UNREADABLE, [row.id])
                continue
            if point is None:
                found.add(Flaw.MISSING, [row.id])
            else:
                pairs.append((pattern, point))
        for (pattern, _), flaw in zip(pairs, self._level.flaws(pairs), strict=True):
            if flaw:
                found.add(flaw, [pattern.id])

    async def _excuse(self, found: Findings, flaw: Flaw, horizon: int) -> None:
        """Remove what is about to change, and dead letters, from the findings; a point without a row is neither."""
        wrong = PackedIds()
        for ids in found.of(flaw).pages():
            moving = await self._session.moving(ids, horizon)
            found.moving += len(moving)
            rest = [node_id for node_id in ids if node_id not in moving]
            parked: set[UUID] = set()
            if rest and flaw is not Flaw.FOREIGN:
                parked = await self._session.parked(rest, self._collection.physical)
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
            f"The proof of '{self._collection.name}' read {found.rows:,} of {rows:,} rows of PostgreSQL and "
            f"{found.points:,} of {points:,} points of Qdrant, so nothing is proven. Does something else write to "
            f"'{self._collection.physical}'?{doubt} The next try looks again."
        )


def _disagreement(physical: str) -> ParityError:
    return ParityError(
        f"The replicas of '{physical}' in Qdrant hold different numbers of points, so nothing is proven: a deletion "
        "has reached some of them and not others. The full sync deletes once more what was deleted in PostgreSQL. If "
        "that does not help, drop one replica of each shard in Qdrant (drop_replica) and make it again "
        "(replicate_shard)."
    )


def _named(ids: Sequence[UUID]) -> str:
    return f" (such as {', '.join(map(str, ids))})" if ids else ""
