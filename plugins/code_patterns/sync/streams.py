"""Read pages ahead, and join the pages of both sides by id."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from code_patterns.sync.diff import PointId


class HasId(Protocol):
    """A row or a point."""

    @property
    def id(self) -> PointId:
        """The id of a row and its point."""


Page = TypeVar("Page")
One = TypeVar("One", bound=HasId)
Other = TypeVar("Other", bound=HasId)

BY_ID = attrgetter("id")


async def prefetched(pages: AsyncIterator[Page]) -> AsyncGenerator[Page]:
    """Fetch the next page while the present one is processed."""

    async def following() -> Page | None:
        return await anext(pages, None)

    task = asyncio.create_task(following())
    try:
        while (page := await task) is not None:
            task = asyncio.create_task(following())
            yield page
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def joined(
    row_pages: AsyncIterator[list[One]], point_pages: AsyncIterator[list[Other]]
) -> AsyncIterator[tuple[list[One], list[Other]]]:
    """Join rows and points, both in id order, by ranges of ids that are complete on both sides."""
    rows: list[One] = await anext(row_pages, [])
    points: list[Other] = await anext(point_pages, [])
    while rows or points:
        last = min((page[-1] for page in (rows, points) if page), key=BY_ID).id
        row_end, point_end = (bisect_right(page, last, key=BY_ID) for page in (rows, points))
        yield rows[:row_end], points[:point_end]
        rows = rows[row_end:] or await anext(row_pages, [])
        points = points[point_end:] or await anext(point_pages, [])


async def flattened(pages: AsyncIterator[Sequence[Page]]) -> AsyncIterator[Page]:
    """What pages hold, one by one."""
    async for page in pages:
        for one in page:
            yield one


class Cut(Generic[Page]):
    """Cuts pages that are in order.

    :param pages: the pages
    :param key: what they are ordered by
    """

    def __init__(self, pages: AsyncIterator[list[Page]], key: Callable[[Page], Any]) -> None:
        self._pages = pages
        self._key = key
        self._left: list[Page] = []

    async def until(self, last: Any) -> list[Page]:
        """All up to a key that have not been taken yet."""
        taken: list[Page] = []
        while True:
            end = bisect_right(self._left, last, key=self._key)
            taken += self._left[:end]
            self._left = self._left[end:]
            if self._left:
                return taken
            self._left = await anext(self._pages, [])
            if not self._left:
                return taken
