"""``python -m code_patterns.mcp``: the server for agents over stdio."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.search import Searcher, SearchQuery, open_searcher

MISSING = "The package 'mcp' is not installed. Install it with: pip install -r requirements-optional.txt"


class LocalPatterns:
    """Searches with the connections of this process's environment, which are read when they are first needed.

    :param target: a target of the targets file; empty for the one without a name
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._opening = asyncio.Lock()
        self._searcher: Searcher | None = None
        self._opened = AsyncExitStack()

    async def search(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Find patterns."""
        query = SearchQuery.read(fields)
        return (await (await self._open()).search(query)).as_dict()

    async def get(self, pattern: str) -> Mapping[str, Any]:
        """Return one pattern.

        :raises ConfigurationError: there is none
        """
        found = await (await self._open()).get(pattern)
        if found is None:
            raise ConfigurationError(Code.PATTERN_UNKNOWN, f"There is no pattern '{pattern[:200]}'.")
        return found.as_dict()

    async def close(self) -> None:
        """Close all connections."""
        await self._opened.aclose()

    async def _open(self) -> Searcher:
        async with self._opening:
            if self._searcher is None:
                found = await asyncio.to_thread(_configured, self._target)
                searcher = open_searcher(found.postgres, found.qdrant, found.embedding, found.collection, found.target)
                self._searcher = await self._opened.enter_async_context(searcher)
            return self._searcher


def _configured(target: str) -> Any:
    # Airflow prints when it is imported. By then the protocol has the standard output for itself.
    from code_patterns.hooks.configured import configured_target

    return configured_target(target)


async def serve(target: str) -> None:
    """Serve until standard input ends.

    :param target: a target of the targets file; empty for the one without a name
    """
    from code_patterns.mcp.server import build_server

    patterns = LocalPatterns(target)
    try:
        await build_server(patterns).run_stdio_async()
    finally:
        await patterns.close()


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    :param arguments: those of the command line
    :return: the exit status
    """
    parser = argparse.ArgumentParser(prog="python -m code_patterns.mcp", description=__doc__)
    parser.add_argument("--target", default="", help="a target of the targets file")
    target = parser.parse_args(arguments).target
    try:
        import mcp  # noqa: F401 - the command is of no use without it
    except ModuleNotFoundError:
        print(MISSING, file=sys.stderr)
        return 1
    asyncio.run(serve(target))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
