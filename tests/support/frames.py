"""What errors leave behind in memory."""

import asyncio
import gc
import types
from collections.abc import Callable, Coroutine
from typing import Any


def frames_left_behind(action: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    """Run an action, and return the functions whose frames only Python's search for cycles would free afterwards.

    :param action: run twice: what a first call makes, such as caches, does not count
    """
    asyncio.run(action())
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        asyncio.run(action())
        gc.collect()
        return sorted(one.f_code.co_qualname for one in gc.garbage if isinstance(one, types.FrameType))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
