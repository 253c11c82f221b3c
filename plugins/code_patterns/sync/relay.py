"""Send the events of the outbox to Kafka, and forget those that it has."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import psycopg

from code_patterns.codes import Code
from code_patterns.errors import PatternsError
from code_patterns.events.indexed import IndexedEvent
from code_patterns.events.publisher import EventPublisher
from code_patterns.events.topics import Events
from code_patterns.servers.locks import POLL_SECONDS, Lock, LockedSession
from code_patterns.servers.postgres import PostgresConfig

log = logging.getLogger(__name__)

MOST_EVENTS = 1_000
"""Events that are sent together."""
TURN_SECONDS = 30.0
"""How long a relay waits for another one, which sends the same events."""
AGAIN_SECONDS = 5.0
"""How long a relay of a stream waits after a failure."""

LOCK = Lock("code_patterns relay", "outbox", holder="relay of events", subject="the outbox")
"""One relay at a time: two could send events about one point in the wrong order."""


class Relay:
    """Sends what is in the outbox, whichever run put it there.

    :param postgres: where the outbox is
    :param events: where events go
    """

    def __init__(self, postgres: PostgresConfig, events: Events) -> None:
        self._postgres = postgres
        self._events = events
        self._publisher = EventPublisher(events.kafka, events.topics.indexed)
        self._held = AsyncExitStack()
        self._session: LockedSession | None = None
        self._failing = False
        self.sent = 0
        """Events that Kafka has got until now."""

    async def run(self) -> bool:
        """Send everything; return whether nothing is left. An outage leaves the rest, and says so once.

        Nothing is raised: the points are written, and a later run sends the events.
        """
        code = Code.KAFKA_AWAY
        try:
            reason, left = await self._send()
        except PatternsError as error:
            reason, left, code = error.message, -1, error.code
            await self._close_session()
        if reason and not self._failing:
            log.warning(
                "%s is not told about %s: %s. Nothing is lost: the next run sends the events. [%s]",
                f"Kafka at {self._events.kafka.address}",
                f"{left:,} points" if left >= 0 else "the points",
                reason.removesuffix("."),
                code,
            )
        self._failing = bool(reason)
        return not reason

    async def close(self) -> None:
        """Close what is open, and say how many were sent."""
        if self.sent:
            log.info("Told Kafka about %s points.", f"{self.sent:,}")
        self._publisher.close()
        await self._close_session()

    async def _close_session(self) -> None:
        self._session = None
        # It may be broken.
        with suppress(psycopg.Error):
            await self._held.aclose()

    async def _send(self) -> tuple[str, int]:
        """Return why some events were not sent, and how many."""
        session = self._session or await self._open()
        if not await _take_turn(session):
            return "", 0
        while rows := await session.fetch("outbox_events", most=MOST_EVENTS):
            events = [IndexedEvent(*row) for row in rows]
            arrived, reason = await self._publisher.publish([event.encoded() for event in events])
            await session.execute("outbox_sent", ids=[events[position].id for position in arrived])
            self.sent += len(arrived)
            if len(arrived) < len(events):
                [(left,)] = await session.fetch("outbox_waiting")
                await session.release(LOCK)
                return reason, left
        await session.release(LOCK)
        return "", 0

    async def _open(self) -> LockedSession:
        self._session = await self._held.enter_async_context(LockedSession.open(self._postgres))
        return self._session


async def relay_once(postgres: PostgresConfig, events: Events | None) -> None:
    """Send what is in the outbox, at the end of a run."""
    if events and events.topics.indexed:
        relay = Relay(postgres, events)
        try:
            await relay.run()
        finally:
            await relay.close()


@asynccontextmanager
async def relaying(postgres: PostgresConfig, events: Events | None) -> AsyncIterator[asyncio.Event]:
    """Send beside other work: whenever the event that this yields is set, and once more at the end."""
    wake, stopped = asyncio.Event(), asyncio.Event()
    if events is None or not events.topics.indexed:
        yield wake
        return
    relay = Relay(postgres, events)

    async def work() -> None:
        while True:
            await wake.wait()
            wake.clear()
            succeeded = await relay.run()
            if stopped.is_set() and not (succeeded and wake.is_set()):
                return
            if not succeeded:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), AGAIN_SECONDS)
                wake.set()

    wake.set()
    task = asyncio.create_task(work())
    try:
        yield wake
    finally:
        # It is not cancelled: what it has sent without noting it would be sent again.
        stopped.set()
        wake.set()
        await task
        await relay.close()


async def _take_turn(session: LockedSession) -> bool:
    """Take the lock; give up after a while, because whoever holds it sends the same events."""
    until = time.monotonic() + TURN_SECONDS
    while not await session.take_at_once(LOCK):
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
