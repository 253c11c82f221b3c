"""Find the bad items among many that are tried together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from code_patterns.errors import PatternsError

HOPELESS_PARTS = 8
"""If so many parts are tried and all are rejected, most items seem to be bad: the rest is tried one by one."""

Item = TypeVar("Item")


async def bisect(
    items: Sequence[Item],
    attempt: Callable[[Sequence[Item]], Awaitable[None]],
    rejection: type[PatternsError],
    parts: int = 1,
) -> list[tuple[Item, PatternsError]]:
    """Process all items that can be processed; halve rejected parts until the bad items stand alone.

    Parts of about the same size are tried at the same time, so the waits of several bad items overlap. A single bad
    item among ``n`` costs about ``2 * log2(n)`` attempts, ``n`` bad items cost less than ``n + 2 * HOPELESS_PARTS``.

    :param items: the items
    :param attempt: processes several items, or raises ``rejection``; it may then be repeated for each of them
    :param rejection: the error that blames the items
    :param parts: in how many parts they are tried at first
    :return: the items that were rejected alone, each with its error
    """

    async def rejected(part: range) -> PatternsError | None:
        try:
            await attempt(items[part.start : part.stop])
        except rejection as error:
            return error
        return None

    bad: dict[int, PatternsError] = {}
    tried = _cut(range(len(items)), parts) if items else []
    while tried:
        tasks = [asyncio.create_task(rejected(part)) for part in tried]
        try:
            errors = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        refused = {part: error for part, error in zip(tried, errors, strict=True) if error}
        bad |= {part.start: error for part, error in refused.items() if len(part) == 1}
        hopeless = len(refused) == len(tried) >= HOPELESS_PARTS
        tried = [piece for part in refused if len(part) > 1 for piece in _cut(part, len(part) if hopeless else 2)]
    return [(items[index], bad[index]) for index in sorted(bad)]


def _cut(part: range, pieces: int) -> list[range]:
    bounds = [part.start + len(part) * number // pieces for number in range(pieces + 1)]
    return [range(start, stop) for start, stop in pairwise(bounds)]
