"""Compute, while patterns are embedded and written, which digests their points must have.

The proof at the end of a first load then only asks both sides for the digests of their ranges. It stays independent of
the sync: its rows come on a session of its own, by its own statements, and nothing that the sync has read is used.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

from code_patterns.errors import PatternsError
from code_patterns.sync.collection import Collection
from code_patterns.sync.diff import LAST_ID, IdRange
from code_patterns.sync.digests import Digests, RangeCutter
from code_patterns.sync.pattern import Pattern, SourceRow, UnreadableRowError, pattern_of
from code_patterns.sync.proof_session import ProofSession

log = logging.getLogger(__name__)

ROWS_AHEAD = 5_000
"""It stays so close to what is written: the rows are still in PostgreSQL's memory."""
PACE_SECONDS = 0.1


@asynccontextmanager
async def expecting(
    session: ProofSession, collection: Collection, digests: Digests, within: IdRange, examined: Callable[[], int]
) -> AsyncIterator[None]:
    """Learn the digests of an id range while the body writes it.

    :param session: its own session on PostgreSQL
    :param collection: the collection
    :param digests: learns; knows nothing of these ids yet
    :param within: the id range
    :param examined: how many of its rows are done
    """
    written = False

    def is_ahead(seen: int) -> bool:
        return not written and seen > examined() + ROWS_AHEAD

    task = asyncio.create_task(_expect(session, collection, digests, within, is_ahead))
    try:
        yield
        written = True
        await task
    except BaseException:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


async def _expect(
    session: ProofSession, collection: Collection, digests: Digests, within: IdRange, is_ahead: Callable[[int], bool]
) -> None:
    cutter = RangeCutter(within, digests)
    first: UUID | None = within.first
    seen = 0
    try:
        while first:
            while is_ahead(seen):  # noqa: ASYNC110 (a count has no event)
                await asyncio.sleep(PACE_SECONDS)
            # Rows of one moment each: a snapshot for hours would keep VACUUM from its work.
            rest, first = IdRange(first, within.last), None
            async with session.reading(), aclosing(session.rows(rest)) as pages:
                async for rows in pages:
                    seen += len(rows)
                    cutter.add(rows, _patterns(rows, collection))
                    if is_ahead(seen) and rows[-1].id != LAST_ID:
                        first = UUID(int=rows[-1].id.int + 1)
                        break
        cutter.end()
    except PatternsError as error:
        # The proof does without.
        log.info("The proof at the end reads every row: %s", error)


def _patterns(rows: list[SourceRow], collection: Collection) -> list[Pattern]:
    patterns = []
    for row in rows:
        try:
            patterns.append(pattern_of(row, collection.recipe, words=collection.words))
        except UnreadableRowError:
            continue
    return patterns
