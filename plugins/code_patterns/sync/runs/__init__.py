"""The kinds of run: what changed since the last one, everything, a range of ids, a span of time, or verification."""

import logging

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import QdrantConfig
from code_patterns.sync.collection import confirm, prepare
from code_patterns.sync.diff import Watermark
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.full import sync_everything
from code_patterns.sync.runs.incremental import sync_changes, sync_interval
from code_patterns.sync.runs.opening import open_run
from code_patterns.sync.runs.shards import sync_range
from code_patterns.sync.runs.verification import verify_everything
from code_patterns.sync.source import Horizon
from code_patterns.sync.sync_result import SyncResult
from code_patterns.sync.sync_settings import SyncSettings

log = logging.getLogger(__name__)


async def sync(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    settings: SyncSettings,
    identity: RunIdentity,
) -> SyncResult:
    """Bring Qdrant to what PostgreSQL holds.

    Everything that can be wrong with the three servers is found out before anything is written. The run leaves a row
    in the history whatever happens; a dry run leaves none.

    :param postgres: where the patterns are
    :param qdrant: where the points go
    :param embedding: how texts become vectors
    :param settings: what the person chose
    :param identity: which run this is, for the history
    :raises ConfigurationError: when a person must change something first
    :raises OutageError: when a server went away; the next try goes on where this one stopped
    :raises ParityError: when both sides disagree at the end of a full sync
    """
    async with open_run(postgres, qdrant, embedding, settings, identity) as run:
        horizon = await run.source.horizon()
        if settings.dry_run:
            await _work(run, horizon)
        else:
            try:
                await _work(run, horizon)
                await confirm(run.qdrant, run.target.collection)
            except BaseException as error:
                await run.close_history(error)
                raise
            await run.close_history(None)
        result = await run.result(horizon)
    log.info(result.table())
    if result.dead_letters:
        log.warning(
            "%d patterns are parked as dead letters and not (or not newly) in Qdrant; see the table "
            "pattern_sync_dead_letters for each one's error. Every later run tries them again.",
            result.dead_letters,
        )
    return result


async def _work(run: RunContext, horizon: Horizon) -> None:
    if run.kind == "verify":
        await verify_everything(run, horizon)
        return
    if not run.settings.dry_run:
        run.target.collection = await prepare(run.qdrant, run.target.collection)
    if run.settings.interval:
        await run.open_history(None)
        await sync_interval(run, run.settings.interval, horizon)
    elif run.settings.id_range:
        await run.open_history(None)
        await sync_range(run, run.settings.id_range, horizon)
    elif run.kind == "full":
        await run.open_history(None)
        await sync_everything(run, horizon)
    else:
        watermark = await run.state.watermark(run.target.collection.identity, horizon)
        if isinstance(watermark, Watermark):
            await run.open_history(watermark)
            await sync_changes(run, watermark, horizon)
        else:
            log.info("There is no watermark to start from: %s. Comparing everything.", watermark)
            run.kind = "full"
            await run.open_history(None)
            await sync_everything(run, horizon)
