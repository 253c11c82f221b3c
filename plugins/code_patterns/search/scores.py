"""Read from PostgreSQL what Qdrant does not know: scores, and the points of a ``pattern_id``."""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from code_patterns.quality.dimensions import tier_of
from code_patterns.search.query import SearchQuery
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_asyncpg import Borrowed, open_pool
from code_patterns.servers.postgres_errors import diagnose, explain
from code_patterns.sql import query as sql

MOST_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Score:
    """The current score of a pattern.

    :param quality: 0 to 1
    :param confidence: 0 to 1; ``None`` if there is none
    """

    quality: float | None = None
    confidence: float | None = None

    @property
    def tier(self) -> str | None:
        """The tier of the quality."""
        return None if self.quality is None else tier_of(max(0.0, self.quality))

    def passes(self, query: SearchQuery) -> bool:
        """Whether the score is as high as a query wants it."""
        wanted = ((query.min_quality, self.quality), (query.min_confidence, self.confidence))
        return all(least is None or (value is not None and value >= least) for least, value in wanted)


UNSCORED = Score()


class Scores:
    """Reads scores through a pool that it opens when it is first used.

    :param config: the database
    :param seconds: longest wait for a connection and for an answer
    """

    def __init__(self, config: PostgresConfig, seconds: float) -> None:
        self._config = config
        self._seconds = seconds
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def of(self, ids: Iterable[UUID]) -> dict[UUID, Score]:
        """Return the scores of patterns, by id; those without one are left out.

        :raises PatternsError: the database cannot answer, or its tables are missing
        """
        rows = await self._fetch("search_scores", list(ids))
        return {row["pattern_id"]: Score(_number(row["quality_score"]), _number(row["confidence"])) for row in rows}

    async def ids_of(self, pattern_id: str) -> list[UUID]:
        """Return the ids of all versions of a pattern, the newest first."""
        return [row["id"] for row in await self._fetch("search_ids_of_pattern", pattern_id)]

    async def close(self) -> None:
        """Close all connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _fetch(self, name: str, argument: Any) -> Any:
        try:
            async with self._opening:
                if self._pool is None:
                    self._pool = await open_pool(
                        self._config,
                        min_size=1,
                        max_size=MOST_CONNECTIONS,
                        command_timeout=self._seconds,
                        settings={},
                    )
            async with Borrowed(self._pool, self._seconds, reset=False) as connection:
                return await connection.fetch(sql(name).decode(), argument)
        except Exception as error:
            fault = diagnose(error)
            if fault is None:
                raise
            raise explain(
                fault, f"PostgreSQL at {self._config.address}", login=self._config.user, doing="the search"
            ) from None


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
