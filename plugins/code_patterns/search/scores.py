"""Read from PostgreSQL what Qdrant does not know: scores, and the points of a ``pattern_id``."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from code_patterns.quality.dimensions import tier_of
from code_patterns.search.query import SearchQuery
from code_patterns.servers.postgres_pool import PostgresPool
from code_patterns.sql import unstorable


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
    """Reads scores.

    :param database: the database
    """

    def __init__(self, database: PostgresPool) -> None:
        self._database = database

    async def of(self, ids: Iterable[UUID]) -> dict[UUID, Score]:
        """Return the scores of patterns, by id; those without one are left out.

        :raises PatternsError: the database cannot answer, or its tables are missing
        """
        rows = await self._database.fetch("search_scores", list(ids))
        return {row["pattern_id"]: Score(_number(row["quality_score"]), _number(row["confidence"])) for row in rows}

    async def ids_of(self, pattern_id: str) -> list[UUID]:
        """Return the ids of all versions of a pattern, the newest first."""
        if unstorable(pattern_id):
            return []
        return [row["id"] for row in await self._database.fetch("search_ids_of_pattern", pattern_id)]


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
