"""Run the sync: choose the kind of run, run it, record how it ended."""

import logging
from collections.abc import Callable, Mapping

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError, NothingToDoError
from code_patterns.events.topics import Events
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.publication import confirm
from code_patterns.sync.relay import relay_once
from code_patterns.sync.runs.contradictions import refuse_contradictions
from code_patterns.sync.runs.full import FullRun
from code_patterns.sync.runs.incremental import IncrementalRun
from code_patterns.sync.runs.interval import IntervalRun
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.runs.opening import open_run
from code_patterns.sync.runs.shard import ShardRun
from code_patterns.sync.runs.verification import VerificationRun
from code_patterns.sync.sync_result import RunWork, SyncResult
from code_patterns.sync.sync_settings import SyncSettings

log = logging.getLogger(__name__)

MODES: Mapping[str, type[RunKind]] = {kind.name: kind for kind in (IncrementalRun, FullRun, VerificationRun)}
"""The kinds of run that have a mode."""


async def sync(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    settings: SyncSettings,
    identity: RunIdentity,
    events: Events | None = None,
    on_failure: Callable[[RunWork], None] = lambda _: None,
) -> SyncResult:
    """Sync Qdrant with PostgreSQL.

    The three servers are checked before anything is written. The run is recorded in the history however it ends; a dry
    run is not recorded.

    :param postgres: the source of the rows
    :param qdrant: the target of the points
    :param embedding: how texts become vectors
    :param settings: the settings
    :param identity: the run's identity, for the history
    :param events: where Kafka is told what was done, if it is
    :param on_failure: called with what was done if the run fails after it has begun
    :raises ConfigurationError: a person must change something first
    :raises NothingToDoError: the settings leave nothing to do
    :raises OutageError: a server is away; the next try goes on where this one stopped
    :raises ParityError: both sides disagree at the end of a full sync
    """
    announces = events is not None and bool(events.topics.indexed)
    opened = open_run(postgres, qdrant, embedding, settings, identity, kind_of(settings), announces=announces)
    async with opened as (kind, run):
        if settings.dry_run:
            with run.stages.run():
                await kind.execute(run)
        else:
            await run.open_history()
            try:
                # Before it is recorded: readers of the history have the same DAGs as readers of the log.
                with settings.target.errors(), run.stages.run():
                    await kind.execute(run)
                if kind.exchanges:
                    # Shards leave it to the full sync: what one has in flight is none of the other's business.
                    await run.settle_outbox()
                await confirm(run.qdrant, run.collection)
                await run.pairing.end()
            except BaseException as error:
                await run.close_history(error)
                on_failure(run.work())
                raise
            await run.close_history(None)
        result = await run.result()
        parked = await run.record.dead_letters.told(kind.named_dead_letters)
    if not settings.dry_run:
        # After the collection's lock: Kafka may be slow.
        await relay_once(postgres, events)
    log.info(result.table())
    if parked:
        log.warning("%s", parked)
    return result


def kind_of(settings: SyncSettings) -> RunKind:
    """Return the kind of run that the settings ask for.

    :raises ConfigurationError: there is no such kind, or it can follow only some of the settings
    :raises NothingToDoError: with these settings this kind has nothing to do
    """
    if settings.mode not in MODES:
        raise ConfigurationError(
            Code.SETTING_WRONG, f"The operator's mode is '{settings.mode}'; it must be one of {', '.join(MODES)}."
        )
    refuse_contradictions(settings)
    if settings.interval:
        return IntervalRun(settings.interval)
    if settings.id_range:
        return ShardRun(settings.id_range)
    if settings.mode == VerificationRun.name and (settings.dry_run or settings.limit):
        raise NothingToDoError("A dry run or a limited run leaves nothing that could be verified.")
    return MODES[settings.mode]()
