"""What the database knows of the sync and of the scores, for the page and for monitoring."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from code_patterns.quality.dimensions import TIERS, tier_of
from code_patterns.servers.postgres_pool import PostgresPool
from code_patterns.sql import query, unstorable
from code_patterns.sync.run_locks import stream_sign
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

COUNTED = 10_000
"""Changes that wait are counted up to this number."""
EXTREMES = 10
"""So many of the best patterns, and of the worst."""
BACKFILL = "quality_backfill"
"""The DAG that scores."""
QUALITY_RUNS = 30
"""So many runs show how the scores changed."""

Row = Mapping[str, Any]


class History:
    """Reads what the runs of a target have recorded.

    :param database: the database of the patterns
    :param collection: alias or collection, as users write it
    :param target: the target. Another one's collection may have the same name
    """

    def __init__(self, database: PostgresPool, collection: str, target: SyncTarget = WITHOUT_NAME) -> None:
        self._database = database
        self._target = target
        self._whose = (collection, target.name)

    async def status(self) -> dict[str, Any]:
        """Return how far the collection is, what waits, what is parked, whether a stream is up, and the last proof.

        ``state`` is ``in sync``, ``behind``, ``never synced``, or ``full sync needed`` if only a full sync can go on.
        """
        lock = asdict(stream_sign(*self._whose))
        [row] = await self._fetch("web_status", *self._whose, lock["space"], lock["key"], COUNTED + 1)
        found = dict(row)
        return {
            "state": _state(found),
            "behind": min(found["behind"], COUNTED),
            "behind_is_more": found["behind"] > COUNTED,
            "lag_seconds": found["lag_seconds"],
            "watermark": {"xid": found["watermark"], "at": found["watermark_at"]},
            "now": {"xid": found["horizon"], "at": found["now"]},
            "last_incremental_at": found["last_incremental_at"],
            "last_full_at": found["last_full_at"],
            "dead_letters": found["dead_letters"],
            "stream_is_up": found["streaming"],
            "parity": {
                "state": found["parity"],
                "at": found["parity_at"],
                "proven_at": found["proven_at"],
                "dag_id": found["parity_dag_id"],
                "dag_run_id": found["parity_run_id"],
            },
        }

    async def runs(self, limit: int, offset: int, kind: str | None) -> list[Row]:
        """Return the newest runs.

        :param kind: only runs of this kind
        """
        if kind is not None and unstorable(kind):
            return []
        return await self._fetch("web_runs", *self._whose, limit, offset, kind)

    async def activity(self) -> list[Row]:
        """Return what the runs of the last 24 hours did, by kind and outcome."""
        return await self._fetch("web_metrics", *self._whose)

    async def failures(self, limit: int, offset: int) -> list[Row]:
        """Return dead letters, those that are parked longest first."""
        return await self._fetch("web_failures", *self._whose, limit, offset)

    async def quality(self) -> dict[str, Any]:
        """Return the scores by tier and language, the best and the worst patterns, and what past runs scored."""
        groups, extremes, runs = await asyncio.gather(
            self._fetch_of_rows("web_quality_groups"),
            self._fetch_of_rows("web_quality_extremes", EXTREMES),
            self._fetch("web_quality_runs", QUALITY_RUNS),
        )
        sides: dict[str, list[Row]] = {"worst": [], "best": []}
        for row in extremes:
            told = {name: value for name, value in row.items() if name != "side"}
            sides[row["side"]].append(told | {"quality_tier": tier_of(max(0.0, row["quality_score"]))})
        return {**_counted(groups), **sides, "runs": [self._without_others(run) for run in runs]}

    def _without_others(self, run: Row) -> Row:
        """A run of the quality backfill, without the name of a target that the user may not read."""
        dag_id = run["dag_id"] or ""
        if dag_id.startswith(f"{BACKFILL}__") and dag_id != self._target.named(BACKFILL):
            return {**run, "dag_id": None, "dag_run_id": None}
        return run

    async def _fetch(self, name: str, *parameters: Any) -> list[Row]:
        return [dict(row) for row in await self._database.fetch(name, *parameters)]

    async def _fetch_of_rows(self, name: str, *parameters: Any) -> list[Row]:
        statement, of_rows = self._target.rows.numbered(query(name), len(parameters) + 1)
        return [dict(row) for row in await self._database.fetch_by(statement, *parameters, *of_rows)]


def _state(found: Row) -> str:
    if found["collection"] is None:
        return "never synced"
    if found["watermark"] is None or not found["captured"]:
        return "full sync needed"
    return "behind" if found["behind"] else "in sync"


def _counted(groups: list[Row]) -> dict[str, Any]:
    """Add the groups up: all of them, those of each tier, those of each language."""
    tiers = dict.fromkeys((name for name, _ in TIERS), 0)
    languages: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(("patterns", *tiers), 0))
    for row in groups:
        languages[row["language"]]["patterns"] += row["patterns"]
        if row["tier"]:
            tiers[row["tier"]] += row["patterns"]
            languages[row["language"]][row["tier"]] += row["patterns"]
    scored = sum(tiers.values())
    total = sum(row["total"] or 0.0 for row in groups)
    return {
        "patterns": sum(row["patterns"] for row in groups),
        "scored": scored,
        "average": total / scored if scored else None,
        "tiers": [{"tier": name, "least": least, "patterns": tiers[name]} for name, least in TIERS],
        "languages": [
            {"language": name, **counts}
            for name, counts in sorted(languages.items(), key=lambda item: (-item[1]["patterns"], item[0]))
        ],
    }
