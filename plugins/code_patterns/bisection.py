"""Find the bad items among many that are tried together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from code_patterns.errors import PatternsError

Item = TypeVar("Item")


async def bisect(
    items: Sequence[Item],
    attempt: Callable[[Sequence[Item]], Awaitable[None]],
    rejection: type[PatternsError],
) -> list[tuple[Item, PatternsError]]:
    """Process all items that can be processed; halve a rejected batch until the bad items stand alone.

    Both halves run at the same time, so the waits of several bad items overlap.

    :param items: the items
    :param attempt: processes several items, or raises ``rejection``; it may then be repeated for each of them
    :param rejection: the error that blames the items
    :return: the items that were rejected alone, each with its error
    """
    if not items:
        return []
    try:
        await attempt(items)
    except rejection as error:
        if len(items) == 1:
            return [(items[0], error)]
        middle = len(items) // 2
        halves = [asyncio.create_task(bisect(half, attempt, rejection)) for half in (items[:middle], items[middle:])]
        try:
            return [bad for found in await asyncio.gather(*halves) for bad in found]
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
    return []
