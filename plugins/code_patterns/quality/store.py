"""Write scores and the run history to PostgreSQL."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.errors import RaiseException
from psycopg.types.json import Jsonb

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, PatternsError
from code_patterns.quality.payload import UNNAMED, VOLATILE_FIELDS
from code_patterns.quality.points import Point
from code_patterns.quality.score import VERSION, QualityScore
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import Lock, take
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import database_errors
from code_patterns.servers.postgres_psycopg import connect
from code_patterns.sql import query

MAX_TEXT = 255


class ScoreRefusedError(PatternsError):
    """The database works but refuses these scores."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.SCORE_REFUSED, message)


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A point with its score.

    :param point: the point
    :param content_hash: identifies its payload, from :func:`content_hash_of`
    :param score: its score
    """

    point: Point
    content_hash: str
    score: QualityScore


def content_hash_of(payload: Mapping[str, Any] | None) -> str:
    """Return a hash of a payload's content; the order of its fields does not matter."""
    content = {key: value for key, value in (payload or {}).items() if key not in VOLATILE_FIELDS}
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # Lone surrogates and integers beyond 64 bits.
        text = json.dumps(content, sort_keys=True, default=str).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


class ScoreStore:
    """The table ``pattern_quality_metrics`` and its run history, on one connection.

    :param config: the database
    :param connection: an open connection in autocommit mode
    :param version: version of the scores that are stored, from :func:`~code_patterns.quality.score.version_of`
    """

    def __init__(self, config: PostgresConfig, connection: psycopg.AsyncConnection, version: str) -> None:
        self._config = config
        self._connection = connection
        self._version = version

    @classmethod
    @asynccontextmanager
    async def open(cls, config: PostgresConfig, version: str = VERSION) -> AsyncIterator["ScoreStore"]:
        """Connect, and check that scores can be stored.

        :raises ConfigurationError: the login fails, or a table or the unique constraint is missing
        """
        async with await connect(config, autocommit=True) as connection:
            store = cls(config, connection, version)
            missing = [row[0] for row in await store._fetch("quality_missing_objects")]
            if missing:
                raise ConfigurationError(
                    Code.SCHEMA_INCOMPLETE,
                    f"The database of {config.address} lacks {', '.join(missing)}. Run schema_migration first; "
                    "nothing was scored.",
                )
            yield store

    async def lock(self) -> None:
        """Wait until no other backfill of the database runs; the lock ends with the session."""
        lock = Lock("code_patterns quality", "", holder="quality backfill", subject=self._config.address)
        async with database_errors(self._config, self._connection):
            await take(self._connection, lock)

    async def known(self, hashes: Mapping[UUID, str]) -> frozenset[UUID]:
        """Which patterns have a score of this version for this content.

        :param hashes: content hash by pattern
        """
        rows = await self._fetch("quality_known", ids=list(hashes), hashes=list(hashes.values()), version=self._version)
        return frozenset(row[0] for row in rows)

    async def save(self, scored: Sequence[ScoredPoint]) -> None:
        """Store scores in one statement; of several with one id the last counts.

        :raises ScoreRefusedError: a constraint or trigger of the table refuses one of them
        """
        latest = {item.point.pattern_id: item for item in scored}
        parameters = {
            "ids": list(latest),
            "scores": [item.score.composite for item in latest.values()],
            "confidences": [item.score.confidence for item in latest.values()],
            "metadata": [metadata_of(item) for item in latest.values()],
            "version": self._version,
        }
        async with database_errors(self._config, self._connection):
            try:
                await self._connection.execute(query("quality_store"), parameters)
            except (psycopg.DataError, psycopg.IntegrityError, RaiseException) as error:
                raise ScoreRefusedError(error.diag.message_primary or type(error).__name__) from None

    async def start_run(self, run: RunIdentity, collections: Sequence[str]) -> None:
        """Record this run in the history, and mark killed runs as abandoned."""
        async with database_errors(self._config, self._connection), self._connection.transaction():
            await self._connection.execute(query("quality_abandon_runs"))
            await self._connection.execute(
                query("quality_start_run"),
                {
                    "id": run.id,
                    "version": self._version,
                    "collections": list(collections),
                    "dag_id": run.dag_id,
                    "dag_run_id": run.dag_run_id,
                    "task_try": run.task_try,
                },
            )

    async def finish_run(self, run: RunIdentity, outcome: Mapping[str, Any]) -> None:
        """Record the end of this run in the history.

        :param outcome: the parameters of ``quality_finish_run.sql`` except ``id``
        """
        async with database_errors(self._config, self._connection):
            await self._connection.execute(
                query("quality_finish_run"), {"id": run.id, **outcome, "details": Jsonb(outcome["details"])}
            )

    async def _fetch(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with database_errors(self._config, self._connection):
            cursor = await self._connection.execute(query(name), parameters or None)
            return await cursor.fetchall()


def metadata_of(item: ScoredPoint) -> str:
    """Return what is stored beside the composite, as JSON."""
    score, payload = item.score, item.point.payload or {}
    name = payload.get("pattern_name")
    return orjson.dumps(
        {
            **{f"{dimension}_score": value for dimension, value in score.dimensions.items()},
            "onex_weight": score.onex_weight,
            "tier": score.tier,
            "collection": item.point.collection,
            "pattern_name": _storable(name) if isinstance(name, str) and name.strip() else UNNAMED,
            "language": _storable(score.reading.language or "") or None,
            "parser": score.reading.parser,
            "fallback_reason": _storable(score.reading.reason or "") or None,
            "cyclomatic": score.cyclomatic,
            "measured_complexity": score.measured_complexity,
            "content_hash": item.content_hash,
        }
    ).decode()


def _storable(text: str) -> str:
    """Remove what PostgreSQL's JSON cannot hold, and cut what is too long."""
    return text[:MAX_TEXT].replace("\x00", "").encode("utf-8", "replace").decode()
