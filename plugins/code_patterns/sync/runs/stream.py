"""The stream: stays up, looks for changes several times a second, and drains them.

A drain takes everything that changed since the last one. The stream holds the lock of the collection only for that
time, and stands back when another run waits for it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import NothingToDoError, OutageError
from code_patterns.events.topics import Events
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import POLL_SECONDS, LockedSession
from code_patterns.servers.patience import patiently
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.named import NamedRows, named_rows
from code_patterns.sync.publication import UnnamedError, confirm
from code_patterns.sync.relay import relaying
from code_patterns.sync.run_locks import collection_lock, stream_lock, stream_sign
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.contradictions import refuse_contradictions
from code_patterns.sync.runs.drain import Drain, Seen
from code_patterns.sync.runs.opening import ComparisonNeededError, Find, Servers, begin, connect_all, finder
from code_patterns.sync.runs.stream_report import StreamReport, Tell
from code_patterns.sync.snapshot import Snapshot
from code_patterns.sync.stream_result import StreamResult
from code_patterns.sync.sync_settings import StreamSettings

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.5
"""Wait before the second try to reach servers that are away: a restart of a server takes a second or two."""
OWN_DEATH_SECONDS = 30.0
"""How long a stream waits for the server to notice that its own last connection is dead."""

Connect = Callable[[], Awaitable[tuple[Servers, AsyncExitStack]]]


async def stream(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    settings: StreamSettings,
    identity: RunIdentity,
    tell: Tell = lambda _: None,
    events: Events | None = None,
) -> StreamResult:
    """Sync changes as they come, until nothing has changed for long or the time is over.

    It ends early, with the reason in the result, when only a run that compares everything can go on.

    :param tell: called every few seconds while it works, and at the end
    :param events: where Kafka names rows, and is told what was done
    :raises ConfigurationError: a person must change something first
    :raises NothingToDoError: another stream works for this collection
    :raises OutageError: a server was away longer than the settings' patience
    """
    refuse_contradictions(settings)
    find = finder(Drain, embedding, settings, identity)
    connect = partial(connect_all, postgres, qdrant, embedding, find, settings.target.rows)
    announces = events is not None and bool(events.topics.indexed)
    with named_rows(events, settings.collection) as named:
        async with relaying(postgres, events) as to_relay:
            work = _Stream(connect, find, settings, identity, tell, named, to_relay if announces else None)
            while not work.closed:
                try:
                    session, held = await patiently(
                        partial(_connect, postgres), settings.patience_seconds, FIRST_WAIT_SECONDS
                    )
                    async with held:
                        await work.serve(session)
                except OutageError as error:
                    await work.outlast(error)
    return work.result()


async def _connect(postgres: PostgresConfig) -> tuple[LockedSession, AsyncExitStack]:
    async with AsyncExitStack() as stack:
        return await stack.enter_async_context(LockedSession.open(postgres)), stack.pop_all()


class _Stream:
    """One stream, over all its connections.

    One session looks, holds the stream's lock and writes the history. What else a drain needs stays open after it,
    except an embedded storage: that one belongs to one process at a time, and others want it too.

    :param connect: opens what a drain needs
    :param find: finds the collection
    :param settings: the settings
    :param identity: the run's identity, for the history
    :param tell: see :func:`stream`
    :param named: rows that events name
    :param to_relay: set when there are events for Kafka; ``None`` if it is not told
    """

    def __init__(
        self,
        connect: Connect,
        find: Find,
        settings: StreamSettings,
        identity: RunIdentity,
        tell: Tell,
        named: NamedRows,
        to_relay: asyncio.Event | None,
    ) -> None:
        self.closed = False
        """Whether its end is recorded; a connection may be lost between the end and that."""
        self._connect = connect
        self._find = find
        self._settings = settings
        self._identity = identity
        self._named = named
        self._to_relay = to_relay
        self._drain = Drain(settings.poll_milliseconds / 1_000, self._should_stop, named)
        self._report = StreamReport(self._drain, settings.collection, settings.target, identity, tell)
        self._run: RunContext | None = None
        self._servers: Servers | None = None
        self._held = AsyncExitStack()
        self._ends_at = time.monotonic() + settings.max_minutes * 60
        self._well_at = time.monotonic()

    async def serve(self, session: LockedSession) -> None:
        """Look and drain until it ends.

        :param session: looks, holds the stream's lock, and writes the history
        :raises NothingToDoError: another stream works
        :raises OutageError: a server is away
        """
        # The database may have been restored while the connection was gone.
        self._drain.seen = Seen()
        try:
            await self._take_stream_lock(session)
            log.info(
                "The stream of '%s' is up. It looks every %d ms and ends after %.0f s without a change.",
                self._settings.collection,
                self._settings.poll_milliseconds,
                self._settings.linger_seconds,
            )
            with self._settings.target.errors():
                await self._work(session)
            await self._report.now(session)
            await self._report.close(session)
            self.closed = True
        except OutageError as error:
            if self._is_out_of_patience(error):
                await self._report.close(session, error)
            raise
        except BaseException as error:
            await self._report.close(session, error)
            raise
        finally:
            await self._close_servers()

    async def outlast(self, error: OutageError) -> None:
        """Wait a moment before servers are opened again.

        :raises OutageError: they were away longer than the settings' patience, or the time of the stream is over
        """
        if self._is_out_of_patience(error):
            raise error
        log.warning("%s The stream opens its connections again.", error)
        await asyncio.sleep(FIRST_WAIT_SECONDS)

    def result(self) -> StreamResult:
        """What the whole stream did."""
        result = self._report.result()
        log.info(result.table())
        return result

    def _is_out_of_patience(self, error: OutageError) -> bool:
        # An error that says how often it was tried has used up the patience already.
        now = time.monotonic()
        return bool(error.tried) or now - self._well_at > self._settings.patience_seconds or now >= self._ends_at

    async def _take_stream_lock(self, session: LockedSession) -> None:
        give_up_at = time.monotonic() + (OWN_DEATH_SECONDS if self._run else 0.0)
        while not await session.take_at_once(stream_lock(self._settings.collection)):
            if time.monotonic() >= give_up_at:
                raise NothingToDoError(f"Another stream works for '{self._settings.collection}'; one is enough.")
            await asyncio.sleep(POLL_SECONDS)
        await session.take(stream_sign(self._settings.collection, self._settings.target.name))

    async def _work(self, session: LockedSession) -> None:
        report = self._report
        try:
            changed, quiet_since = True, time.monotonic()
            while not report.ended:
                started = time.monotonic()
                if changed:
                    await self._drain_patiently()
                    quiet_since = time.monotonic()
                elif started - quiet_since >= self._settings.linger_seconds:
                    await self._catch_up()
                    report.ended = f"nothing has changed for {self._settings.linger_seconds:,.0f} s"
                if time.monotonic() >= self._ends_at:
                    report.ended = f"its {self._settings.max_minutes:,.0f} minutes are over"
                await report.now_and_then(session)
                if not report.ended:
                    await asyncio.sleep(max(0.0, started + self._settings.poll_milliseconds / 1_000 - time.monotonic()))
                    changed = await self._look(session)
                    changed = await self._named.listen(session) or changed
        except (ComparisonNeededError, UnnamedError) as error:
            # Until everything was compared, no stream starts. It has not ended before that is stored.
            await session.execute(
                "sync_owe_comparison", collection=error.collection.physical, target_identity=error.collection.identity
            )
            report.ended, report.comparison_needed = error.reason, True
            log.warning("The stream of '%s' ends: %s.", error.collection.name, error.reason)

    async def _catch_up(self) -> None:
        """Move the watermark over what an old transaction has held back, so that no stream starts for it."""
        if self._run and self._run.moved_to and self._run.moved_to < self._drain.seen.snapshot.watermark:
            await self._drain_patiently()

    async def _look(self, session: LockedSession) -> bool:
        """Whether something has changed."""
        [(snapshot, at, changed)] = await session.fetch("sync_look", seen=self._drain.seen.snapshot.text)
        if not changed:
            self._drain.seen = Seen(Snapshot(snapshot), at)
            self._well_at = time.monotonic()
        return bool(changed)

    async def _drain_patiently(self) -> None:
        """Drain once; open the servers again if they are away, or if another model stands behind the name now."""
        drained = False
        while not drained:
            try:
                servers = self._servers or await self._open_servers()
                drained = await self._drain_once(servers)
                if not drained or servers.qdrant.config.path:
                    await self._close_servers()
            except OutageError as error:
                await self._close_servers()
                await self.outlast(error)
        self._well_at = time.monotonic()

    async def _drain_once(self, servers: Servers) -> bool:
        """Drain under the collection's lock.

        :return: false, with nothing done, if the open embedder is no longer that of the collection
        """
        collection = self._run.collection if self._run else servers.collection
        while True:
            lock = collection_lock(collection.physical)
            if await servers.session.is_wanted(lock):
                # Whoever waits asks every POLL_SECONDS, so it comes first.
                await asyncio.sleep(2 * POLL_SECONDS)
            await servers.session.take(lock)
            found = await self._find(servers.qdrant, database=servers.database)
            if found.embedding != servers.embedder.config:
                return False
            if found.physical == collection.physical:
                break
            await servers.session.release(lock)
            collection = found
        announces = self._to_relay is not None
        _, self._run = await begin(self._drain, servers, found, self._settings, self._identity, announces=announces)
        await self._report.begin(self._run)
        try:
            with self._run.stages.run():
                await self._drain.execute(self._run)
            await self._run.settle_outbox()
            await confirm(self._run.qdrant, self._run.collection)
            await self._run.pairing.end()
        finally:
            self._report.add(self._run)
        await servers.session.release(lock)
        if self._to_relay and self._run.record.outbox and self._run.record.outbox.told:
            self._to_relay.set()
        return True

    async def _open_servers(self) -> Servers:
        servers, self._held = await patiently(self._connect, self._settings.patience_seconds, FIRST_WAIT_SECONDS)
        self._servers = servers
        return servers

    async def _close_servers(self) -> None:
        self._servers = None
        await self._held.aclose()

    async def _should_stop(self) -> bool:
        """Whether a drain must leave the rest to the next one."""
        if time.monotonic() >= self._ends_at or self._servers is None or self._run is None:
            return True
        return await self._servers.session.is_wanted(collection_lock(self._run.collection.physical))
