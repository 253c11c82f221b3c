"""``python -m code_patterns.mcp``: the server for agents over stdio."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.search import Searcher, SearchQuery

MISSING = "The package 'mcp' is not installed. Install it with: pip install -r requirements-optional.txt"


class LocalPatterns:
    """Searches with the connections of this process's environment, which are read when they are first needed."""

    def __init__(self) -> None:
        self._opening = asyncio.Lock()
        self._searcher: Searcher | None = None

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
        if self._searcher:
            await self._searcher.close()

    async def _open(self) -> Searcher:
        async with self._opening:
            if self._searcher is None:
                found = await asyncio.to_thread(_configured)
                self._searcher = Searcher(found.postgres, found.qdrant, found.embedding, found.collection)
            return self._searcher


def _configured() -> Any:
    # Airflow prints when it is imported. By then the protocol has the standard output for itself.
    from code_patterns.hooks.configured import configured

    return configured()


async def serve() -> None:
    """Serve until standard input ends."""
    from code_patterns.mcp.server import build_server

    patterns = LocalPatterns()
    try:
        await build_server(patterns).run_stdio_async()
    finally:
        await patterns.close()


def main() -> int:
    """Run the command; return its exit status."""
    try:
        import mcp  # noqa: F401 - the command is of no use without it
    except ModuleNotFoundError:
        print(MISSING, file=sys.stderr)
        return 1
    asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
