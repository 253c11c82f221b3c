"""Open a run: check the three servers, find the collection, wait for other runs."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import Embedder, EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.patience import patiently
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.collection import Collection, Destination
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.judgement import Judgement, judge
from code_patterns.sync.pattern import same_recipe
from code_patterns.sync.record import RunRecord
from code_patterns.sync.resolution import refuse_old_server, resolve
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.source import Horizon, PatternSource
from code_patterns.sync.sync_settings import SyncSettings
from code_patterns.sync.target import PatternTarget

log = logging.getLogger(__name__)

Find = Callable[..., Awaitable[Collection]]
"""Finds the collection, from the open Qdrant and the database."""


@asynccontextmanager
async def open_run(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    settings: SyncSettings,
    identity: RunIdentity,
    kind: RunKind,
) -> AsyncIterator[RunContext]:
    """Connect to everything a run needs, and wait for its locks; nothing is written yet.

    :raises ConfigurationError: a person must change something first
    :raises OutageError: a server was down longer than the settings' patience, or went away later
    """
    find = partial(
        resolve,
        name=settings.collection,
        embedding=embedding,
        destination=Destination.PREVIOUS if settings.rollback else kind.destination,
        take_over=settings.take_over and kind.reconciles,
    )
    while True:
        async with AsyncExitStack() as stack:
            servers, held = await patiently(
                partial(_connect, postgres, qdrant, embedding, find), settings.patience_seconds
            )
            await stack.enter_async_context(held)
            source, database, opened, collection, embedder, session = servers
            if not settings.dry_run:
                await session.take(*kind.locks(collection.physical))
                physical = collection.physical
                collection = await find(opened, database=database)
                if collection.physical != physical:
                    log.info("'%s' names another collection now; starting again.", settings.collection)
                    continue
            # After the locks: everything that the previous run read is below this horizon. Before the horizon: the next
            # run notices what happens to the triggers later.
            capture = await source.capture()
            if not capture.complete:
                log.warning("%s", capture.warning)
            horizon = await source.horizon()
            record = RunRecord(session, collection, database.system_identifier, capture)
            await record.dead_letters.read()
            target = PatternTarget(opened, collection)
            judgement = await _judge(target, record, database, horizon, witnessed=kind.asks_witness)
            yield RunContext(
                kind.name,
                source,
                capture,
                database,
                horizon,
                opened,
                collection,
                judgement,
                embedder,
                record,
                settings,
                identity,
            )
            return


async def _connect(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    find: Callable[..., Awaitable[Collection]],
) -> tuple[
    tuple[PatternSource, DatabaseIdentity, Qdrant, Collection, Embedder, LockedSession],
    AsyncExitStack,
]:
    """Open everything, or nothing; the second value closes it."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(PatternSource.open(postgres))
        database = await source.identity()
        opened = await stack.enter_async_context(Qdrant.open(qdrant))
        await refuse_old_server(opened)
        collection = await find(opened, database=database)
        embedder = open_embedder(collection.embedding, token_limit=collection.description.token_limit)
        stack.push_async_callback(embedder.aclose)
        await _check(embedder, collection, embedding)
        session = await stack.enter_async_context(LockedSession.open(postgres))
        return (source, database, opened, collection, embedder, session), stack.pop_all()


async def _judge(
    target: PatternTarget, record: RunRecord, database: DatabaseIdentity, horizon: Horizon, *, witnessed: bool
) -> Judgement:
    """Check whether both sides are those that were synced last; nothing is written.

    :param witnessed: ask for the point that was written last, too
    """
    checkpoint = await record.checkpoints.read()
    if checkpoint and not witnessed:
        checkpoint = replace(checkpoint, witness=None)
    witness = checkpoint.witness if checkpoint else None
    found = await target.written_at(witness.id) if witness and target.collection.stored else None
    judgement = judge(target.collection, database, checkpoint, horizon, found)
    if judgement.surprising:
        log.warning("'%s': %s.", target.collection.name, judgement.reason)
    return judgement


async def _check(embedder: Embedder, collection: Collection, connection: EmbeddingConfig) -> None:
    """Check that the embedding server works; see :meth:`~code_patterns.embeddings.base.Embedder.check`."""
    try:
        await embedder.check()
    except ConfigurationError as error:
        if same_recipe(collection.recipe, connection):
            raise
        raise ConfigurationError(
            f"{error} Readers of '{collection.name}' still see '{collection.physical}', made with the model "
            f"'{collection.embedding.model}': until pattern_sync_full has built the new collection, changes reach them "
            "only while that model is served too. Nothing is lost: the next run takes all that was missed."
        ) from None
