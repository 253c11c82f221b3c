"""Open a run: check the three servers, find the collection, wait for other runs, decide where to start."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from code_patterns.codes import Code
from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import Embedder, EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.patience import patiently
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import Qdrant, refuse_old_qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.capture import Capture
from code_patterns.sync.carried import Donors
from code_patterns.sync.checkpoint import Checkpoint, read_checkpoint
from code_patterns.sync.collection import Collection, Destination
from code_patterns.sync.dead_letters import DeadLetters
from code_patterns.sync.diff import Watermark
from code_patterns.sync.identity import DatabaseIdentity
from code_patterns.sync.judgement import Judgement, judge
from code_patterns.sync.outbox import open_outbox
from code_patterns.sync.pairing import Pairing
from code_patterns.sync.pattern import same_recipe
from code_patterns.sync.publication import prepare, refuse_unnamed
from code_patterns.sync.record import RunRecord
from code_patterns.sync.resolution import resolve
from code_patterns.sync.row_filter import RowFilter
from code_patterns.sync.runs.context import BEGINNING, RunContext
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.source import Horizon, PatternSource
from code_patterns.sync.stored_points import StoredPoints
from code_patterns.sync.sync_settings import SyncSettings
from code_patterns.sync.target import PatternTarget

log = logging.getLogger(__name__)

Find = Callable[..., Awaitable[Collection]]
"""Finds the collection, from the open Qdrant and the database."""


class ComparisonNeededError(ConfigurationError):
    """Only a run that compares everything can go on.

    :param collection: the collection
    :param kind: the kind of run that cannot
    :param reason: why
    """

    def __init__(self, collection: Collection, kind: str, reason: str) -> None:
        super().__init__(
            Code.COMPARISON_NEEDED,
            f"'{collection.name}' gives a {kind} run nothing to start from: {reason}. Run pattern_sync_full first.",
        )
        self.collection = collection
        self.reason = reason


@dataclass(frozen=True)
class Servers:
    """Everything that runs on one collection need, open.

    :param source: the rows
    :param database: the identity of their database
    :param qdrant: the open Qdrant
    :param collection: the collection as it was found at first
    :param embedder: makes vectors by that collection's recipe
    :param donors: collections of other targets, which may have them already
    :param session: takes the locks, and records what was done
    """

    source: PatternSource
    database: DatabaseIdentity
    qdrant: Qdrant
    collection: Collection
    embedder: Embedder
    donors: Donors
    session: LockedSession


@asynccontextmanager
async def open_run(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    settings: SyncSettings,
    identity: RunIdentity,
    kind: RunKind,
    *,
    announces: bool = False,
) -> AsyncIterator[tuple[RunKind, RunContext]]:
    """Connect to everything a run needs, wait for its locks, and create the collection; no point is written yet.

    :param kind: the kind that is wanted; without a place to start from, its fallback is yielded instead
    :param announces: whether Kafka is to be told
    :raises ConfigurationError: a person must change something first
    :raises OutageError: a server was down longer than the settings' patience, or went away later
    """
    find = finder(type(kind), embedding, settings, identity)
    while True:
        async with AsyncExitStack() as stack:
            servers, held = await patiently(
                partial(connect_all, postgres, qdrant, embedding, find, settings.target.rows),
                settings.patience_seconds,
            )
            await stack.enter_async_context(held)
            collection = servers.collection
            if not settings.dry_run:
                await servers.session.take(*kind.locks(collection.physical))
                collection = await find(servers.qdrant, database=servers.database)
                if collection.physical != servers.collection.physical:
                    log.info("'%s' names another collection now; starting again.", settings.collection)
                    continue
            kind, run = await begin(kind, servers, collection, settings, identity, announces=announces)
            stack.push_async_callback(run.aclose)
            yield kind, run
            return


def finder(kind: type[RunKind], embedding: EmbeddingConfig, settings: SyncSettings, identity: RunIdentity) -> Find:
    """Return what finds the collection of a run."""
    return partial(
        resolve,
        name=settings.collection,
        embedding=embedding,
        destination=Destination.PREVIOUS if settings.rollback else kind.destination,
        take_over=settings.take_over and kind.reconciles,
        target=settings.target,
        dag_run=identity.dag_run,
    )


async def connect_all(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    find: Find,
    only: RowFilter,
) -> tuple[Servers, AsyncExitStack]:
    """Open everything, or nothing; the second value closes it.

    :param only: which code patterns there are for this run
    :raises ConfigurationError: a person must change something first
    :raises OutageError: a server is down
    """
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(PatternSource.open(postgres, only))
        database = await source.identity()
        opened = await stack.enter_async_context(Qdrant.open(qdrant))
        await refuse_old_qdrant(opened)
        collection = await find(opened, database=database)
        embedder = open_embedder(collection.embedding, token_limit=collection.description.token_limit)
        stack.push_async_callback(embedder.aclose)
        await _check(embedder, collection, embedding)
        session = await stack.enter_async_context(LockedSession.open(postgres))
        return Servers(source, database, opened, collection, embedder, Donors(opened), session), stack.pop_all()


async def begin(
    kind: RunKind,
    servers: Servers,
    collection: Collection,
    settings: SyncSettings,
    identity: RunIdentity,
    *,
    announces: bool = False,
) -> tuple[RunKind, RunContext]:
    """Decide where the run starts, and make it. It holds its locks, unless it is a dry run.

    :param announces: whether Kafka is to be told what it does
    :raises ComparisonNeededError: there is nothing to start from, and the kind has no fallback
    """
    source = servers.source
    # After the locks: everything that the previous run read is below this horizon. Before the horizon: the next run
    # notices what happens to the triggers later.
    capture = await source.capture()
    if not capture.complete:
        log.warning("%s", settings.target.told(capture.warning))
    horizon = await source.horizon()
    checkpoint = await read_checkpoint(servers.session, collection)
    judgement = await _judge(kind, servers, collection, checkpoint, horizon)
    if not kind.creates:
        await refuse_unnamed(servers.qdrant, collection)
    elif not settings.dry_run:
        collection = await prepare(servers.qdrant, collection, servers.database)
    kind, start = await _start(kind, source, collection, judgement, checkpoint, capture)
    dead_letters = DeadLetters(servers.session, collection)
    await dead_letters.read()
    outbox = await open_outbox(servers.session, collection) if announces and not settings.dry_run else None
    record = RunRecord(
        servers.session,
        collection,
        servers.database.system_identifier,
        capture,
        dead_letters,
        outbox,
        checkpoint.witness.id if checkpoint and checkpoint.witness else None,
    )
    target = PatternTarget(servers.qdrant, collection)
    pairing = Pairing(
        target,
        record,
        servers.database,
        checkpoint.known if checkpoint else None,
        horizon.incarnation,
        agreed=judgement.agreed,
        reconciles=kind.reconciles,
        exchanges=kind.exchanges,
    )
    stored = StoredPoints(servers.qdrant, collection)
    return kind, RunContext(
        kind.name,
        start,
        judgement.start,
        horizon,
        source,
        stored,
        target,
        servers.embedder,
        servers.donors,
        record,
        pairing,
        settings,
        identity,
    )


async def _judge(
    kind: RunKind, servers: Servers, collection: Collection, checkpoint: Checkpoint | None, horizon: Horizon
) -> Judgement:
    """Check whether both sides are those that were synced last; nothing is written."""
    lost_write = False
    if checkpoint and checkpoint.witness and kind.asks_witness:
        lost_write = await StoredPoints(servers.qdrant, collection).lacks(checkpoint.witness)
    judgement = judge(collection, servers.database, checkpoint, horizon, lost_write=lost_write)
    if judgement.surprising:
        log.warning("'%s': %s.", collection.name, judgement.reason)
    return judgement


async def _start(
    kind: RunKind,
    source: PatternSource,
    collection: Collection,
    judgement: Judgement,
    checkpoint: Checkpoint | None,
    capture: Capture,
) -> tuple[RunKind, Watermark]:
    """Start at the watermark, or replace a kind that needs one by the kind that does not."""
    start, reason = BEGINNING, ""
    if kind.starts_at_watermark:
        start, reason = judgement.start or BEGINNING, judgement.reason
        if kind.relies_on_capture and judgement.start and checkpoint:
            reason = await _missed(source, judgement.start, checkpoint, capture)
    if reason:
        if kind.fallback is None:
            raise ComparisonNeededError(collection, kind.name, reason)
        log.info("There is no watermark to start from: %s. Comparing everything.", reason)
        kind, start = kind.fallback(), BEGINNING
    if judgement.surprising and not kind.reconciles:
        log.warning("This run does not compare everything: the next hourly or full sync does.")
    return kind, start


async def _missed(source: PatternSource, start: Watermark, checkpoint: Checkpoint, capture: Capture) -> str:
    """Say why changes since the watermark may be unknown; empty if all were recorded."""
    if missed := checkpoint.missed(capture):
        return missed
    pruned = await source.tombstones_pruned_beyond(start)
    return "deletions that it has not seen were forgotten meanwhile" if pruned else ""


async def _check(embedder: Embedder, collection: Collection, connection: EmbeddingConfig) -> None:
    """Check that the embedding server works; see :meth:`~code_patterns.embeddings.base.Embedder.check`."""
    try:
        await embedder.check()
    except ConfigurationError as error:
        if same_recipe(collection.recipe, connection):
            raise
        raise ConfigurationError(
            Code.OLD_MODEL_GONE,
            f"{error.message} Readers of '{collection.name}' still see '{collection.physical}', made with the model "
            f"'{collection.embedding.model}': until pattern_sync_full has built the new collection, changes reach them "
            "only while that model is served too. Nothing is lost: the next run takes all that was missed.",
        ) from None
