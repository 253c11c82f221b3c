"""Score whole collections: read a batch, score it, store it, take the next."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence

from code_patterns.bisection import bisect
from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, PatternsError
from code_patterns.progress import ProgressLog
from code_patterns.quality.backfill_result import BackfillResult, Tally
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.quality.points import Point, PointSource
from code_patterns.quality.score import version_of
from code_patterns.quality.scoring_process import ScoringProcess
from code_patterns.quality.store import ScoredPoint, ScoreRefusedError, ScoreStore, content_hash_of
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.patience import patiently
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig

log = logging.getLogger(__name__)


async def backfill(
    postgres: PostgresConfig, qdrant: QdrantConfig, settings: BackfillSettings, identity: RunIdentity
) -> BackfillResult:
    """Score the points of Qdrant collections and store the scores in PostgreSQL.

    Both servers are checked before anything is scored.

    :param postgres: where the scores go
    :param qdrant: where the points are
    :param settings: what the person chose
    :param identity: which run this is, for the run history
    :raises ConfigurationError: a person must change something first
    :raises OutageError: a server is away; the next try starts over, with the same result
    """

    async def opened() -> tuple[ScoreStore, PointSource, contextlib.AsyncExitStack]:
        async with contextlib.AsyncExitStack() as stack:
            store = await stack.enter_async_context(ScoreStore.open(postgres, version_of(settings.onex_weight)))
            source = PointSource.open(qdrant, settings.collections, only_existing=settings.only_existing)
            return store, await stack.enter_async_context(source), stack.pop_all()

    store, source, stack = await patiently(opened, settings.patience_seconds)
    async with stack, ScoringProcess.open(settings.onex_weight) as scoring:
        return await Backfill(store, source, scoring, settings, identity).execute()


class Backfill:
    """One run; see :func:`backfill`, which opens what it needs."""

    def __init__(
        self,
        store: ScoreStore,
        source: PointSource,
        scoring: ScoringProcess,
        settings: BackfillSettings,
        identity: RunIdentity,
    ) -> None:
        self._store = store
        self._source = source
        self._scoring = scoring
        self._settings = settings
        self._identity = identity
        self._tally = Tally()
        self._started = time.monotonic()

    async def execute(self) -> BackfillResult:
        """Run, and record the run in the history whatever happens (a dry run is not recorded)."""
        if self._settings.dry_run:
            await self._stream()
        else:
            await self._store.lock()
            await self._store.start_run(self._identity, self._source.collections)
            try:
                await self._stream()
            except BaseException as error:
                # The person must see this error, not the one of writing the history.
                with contextlib.suppress(PatternsError):
                    await self._close_history("failed", error)
                raise
            await self._close_history("succeeded", None)
        result = self._result()
        log.info(result.table())
        if result.note:
            log.warning(result.note)
        return result

    async def _stream(self) -> None:
        for name in self._source.collections:
            self._tally.found[name] = 0
        limit = self._settings.limit
        total = await self._source.count()
        progress = ProgressLog("points", min(total, limit or total))
        batches = self._source.batches(self._settings.batch_size, self._settings.min_confidence, limit)
        worked = False
        async for batch in _one_ahead(batches):
            if worked and self._settings.delay_seconds:
                await asyncio.sleep(self._settings.delay_seconds)
            worked = await self._do(batch)
            progress.show(self._tally.found.total(), stored=self._tally.stored, failed=self._tally.failed)

    async def _do(self, batch: Sequence[Point]) -> bool:
        """Score and store one batch; return whether there was something to score."""
        for point in batch:
            self._tally.found[point.collection] += 1
        hashed = [(point, content_hash_of(point.payload)) for point in batch]
        if self._settings.only_missing:
            known = await self._store.known({point.pattern_id: digest for point, digest in hashed})
            self._tally.skipped += sum(point.pattern_id in known for point, _ in hashed)
            hashed = [(point, digest) for point, digest in hashed if point.pattern_id not in known]
        scores = await self._scoring.score([point.payload for point, _ in hashed])
        scored = [ScoredPoint(*pair, score) for pair, score in zip(hashed, scores, strict=True)]
        for item in scored:
            self._tally.add(item.score)
        if scored and not self._settings.dry_run:
            await self._save(scored)
        return bool(scored)

    async def _save(self, scored: Sequence[ScoredPoint]) -> None:
        latest = list({item.point.pattern_id: item for item in scored}.values())
        refused = await bisect(latest, self._store.save, ScoreRefusedError)
        if len(latest) > 1 and len(refused) == len(latest):
            # The table refused every score of a batch: the table is at fault, not the patterns.
            raise ConfigurationError(
                Code.SCORES_REFUSED,
                f"The table pattern_quality_metrics refuses every score: {refused[0][1].message}. Look at its "
                "constraints and triggers.",
            )
        for item, reason in refused:
            log.warning("The score of %s was not stored: %s", item.point.pattern_id, reason)
            self._tally.fail(str(reason))
        self._tally.stored += len(latest) - len(refused)

    def _result(self) -> BackfillResult:
        return BackfillResult.of(
            self._tally,
            version=version_of(self._settings.onex_weight),
            run_id=None if self._settings.dry_run else self._identity.id,
            dry_run=self._settings.dry_run,
            seconds=time.monotonic() - self._started,
            note=self._note(),
        )

    def _note(self) -> str | None:
        """Say what the numbers alone do not show."""
        names = ", ".join(f"'{name}'" for name in self._source.collections)
        if not self._tally.found.total():
            least = self._settings.min_confidence
            why = f"none has a confidence of {least:g} or more" if least else "there are no points in it"
            return f"No pattern was found in {names}, so nothing was scored: {why}."
        if self._tally.failed:
            return f"{self._tally.failed:,} scores were not stored; the table above says why."
        return None

    async def _close_history(self, status: str, error: BaseException | None) -> None:
        outcome = self._result().as_row() | {"status": status, "error": f"{error}"[:2000] if error else None}
        await self._store.finish_run(self._identity, outcome)


async def _one_ahead(batches: AsyncIterator[list[Point]]) -> AsyncIterator[list[Point]]:
    """Read the next batch while the present one is scored."""

    async def read() -> list[Point] | None:
        return await anext(batches, None)

    coming = asyncio.create_task(read())
    try:
        while (batch := await coming) is not None:
            coming = asyncio.create_task(read())
            yield batch
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
