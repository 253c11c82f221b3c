"""Kafka is told about every point that was written, at least once and in order, whatever is killed or away."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from code_patterns.events.publisher import EventPublisher, OutgoingEvent
from code_patterns.servers.locks import LockedSession
from code_patterns.sync.diff import Action, Change
from code_patterns.sync.outbox import open_outbox
from code_patterns.sync.pattern import Pattern
from code_patterns.sync.record import RunRecord, forget
from code_patterns.sync.target import PatternTarget
from tests.support.brokers import Broker
from tests.support.two_sides import TwoSides, rows
from tests.support.writers import FORK

OUTBOX = "SELECT action, indexed_at IS NOT NULL FROM pattern_sync_outbox ORDER BY id"


def about(events: list[dict[str, Any]], row: dict[str, Any]) -> list[str]:
    return [event["payload"]["action"] for event in events if event["payload"]["node_id"] == str(row["id"])]


def test_every_action_is_told_in_order(told: TwoSides, broker: Broker) -> None:
    kept, changed, gone = new = rows(3)
    told.insert(new)
    began = datetime.now(UTC)
    told.sync("full")
    told.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"a\": 1}' WHERE id = %s", [changed["id"]])
    told.sync()
    told.execute('UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "x = 1"}\' WHERE id = %s', [changed["id"]])
    told.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [gone["id"]])
    told.sync()
    told.execute("UPDATE pattern_lineage_nodes SET pattern_data = '[]' WHERE id = %s", [kept["id"]])
    told.sync()
    told.sync(retry_dead_letters=True)
    assert told.execute(OUTBOX) == []

    messages = broker.received(broker.indexed, 7)
    events = broker.events(7)
    assert len(messages) == 7
    assert {message.key() for message in messages} == {str(row["id"]).encode() for row in new}
    assert about(events, changed) == ["upserted", "payload_updated", "upserted"]
    assert about(events, gone) == ["upserted", "deleted"]
    # A second try that fails in the same way is no news.
    assert about(events, kept) == ["upserted", "parked"]
    points = told.points()
    for event in events:
        payload = event["payload"]
        assert event["event_type"] == "pattern_indexed"
        assert payload["collection"] == told.collection
        assert payload["correlation_id"] is None
        assert began < datetime.fromisoformat(payload["indexed_at"]) < datetime.now(UTC)
        assert datetime.fromisoformat(payload["committed_at"]) < datetime.fromisoformat(payload["indexed_at"])
    last = [event["payload"] for event in events if event["payload"]["node_id"] == str(changed["id"])][-1]
    assert last["pattern_id"] == changed["pattern_id"]
    assert last["content_hash"] == points[changed["id"]]["content_hash"]
    told.sync("full")
    assert len(broker.received(broker.indexed, 7)) == 7


def test_two_events_have_two_ids_also_after_a_restore(told: TwoSides, broker: Broker) -> None:
    told.insert(rows(2))
    told.sync("full")
    broker.events(2)
    # As after a dump from before: the sequence gives the same numbers again.
    told.execute("ALTER TABLE pattern_sync_outbox ALTER id RESTART")
    told.insert(rows(2, 10))
    told.sync()
    assert len({event["event_id"] for event in broker.events(4)}) == 4


def test_nothing_is_noted_without_the_connection(told: TwoSides) -> None:
    told.events = None
    told.insert(rows(3))
    told.sync("full")
    assert told.execute("SELECT is_called FROM pattern_sync_outbox_id_seq") == [(False,)]


def test_nothing_is_noted_by_a_dry_run_or_where_the_topic_is_empty(told: TwoSides) -> None:
    told.insert(rows(3))
    assert told.events
    told.sync("full", dry_run=True)
    told.events = replace(told.events, topics=replace(told.events.topics, indexed=""))
    told.sync("full")
    assert told.execute("SELECT is_called FROM pattern_sync_outbox_id_seq") == [(False,)]


def test_orphans_are_told_as_deleted(told: TwoSides, broker: Broker) -> None:
    new = rows(8)
    told.insert(new)
    told.sync("full")
    told.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    told.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [new[0]["id"]])
    told.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
    told.sync("full")
    assert about(broker.events(9), new[0]) == ["upserted", "deleted"]


def test_a_broker_that_is_away_leaves_the_run_alone_and_is_told_later(
    told: TwoSides, broker: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    with broker.behind_a_proxy() as (away, proxy):
        told.events = away.both_ways()
        (row,) = rows(1)
        told.insert([row])
        proxy.cut()
        with monkeypatch.context() as sooner:
            sooner.setattr(EventPublisher.__init__, "__defaults__", (2.0,))
            told.sync("full")
            told.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE id = %s", [row["id"]])
            told.sync()
        assert told.execute(OUTBOX) == [("upserted", True), ("payload_updated", True)]
        warnings = [record.getMessage() for record in caplog.records if "is not told about" in record.getMessage()]
        assert [text.split(" points")[0].rsplit(" ", 1)[1] for text in warnings] == ["1", "2"]
        told.assert_equal_sides()
        proxy.restore()
        told.sync("verify")
    assert told.execute(OUTBOX) == []
    assert about(broker.events(2), row) == ["upserted", "payload_updated"]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(where: str) -> Callable[[], None]:
    """Let this process be killed at one instant."""
    if where == "before the write":
        intend = RunRecord.intend

        async def intend_and_die(self: RunRecord, changes: Sequence[Change]) -> None:
            await intend(self, changes)
            _die()

        RunRecord.intend = intend_and_die  # type: ignore[method-assign]
    elif where == "after the write":

        async def die(self: RunRecord, *arguments: Any) -> None:
            _die()

        RunRecord.save_batch = die  # type: ignore[method-assign]
    elif where == "in the middle of the write":
        write = PatternTarget._write

        async def write_and_die(self: PatternTarget, *arguments: Any) -> None:
            await write(self, *arguments)
            _die()

        PatternTarget._write = write_and_die  # type: ignore[method-assign]
    elif where == "before sending":

        async def send_nothing(self: EventPublisher, events: Sequence[OutgoingEvent]) -> tuple[set[int], str]:
            _die()
            return set(), ""

        EventPublisher.publish = send_nothing  # type: ignore[method-assign]
    elif where == "after sending":
        publish = EventPublisher.publish

        async def publish_and_die(self: EventPublisher, events: Sequence[OutgoingEvent]) -> tuple[set[int], str]:
            await publish(self, events)
            _die()
            return set(), ""

        EventPublisher.publish = publish_and_die  # type: ignore[method-assign]
    return _die


def _sync_and_die(sides: TwoSides, mode: str, where: str) -> None:
    _dying(where)
    sides.sync(mode)


def killed(sides: TwoSides, mode: str, where: str) -> None:
    """Sync in a process that is killed."""
    process = FORK.Process(target=_sync_and_die, args=(sides, mode, where))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


INSTANTS = ("before the write", "in the middle of the write", "after the write", "before sending", "after sending")


@pytest.mark.parametrize("where", INSTANTS)
def test_a_killed_run_loses_no_event(told: TwoSides, broker: Broker, where: str) -> None:
    updated, gone, added = rows(3)
    told.insert([updated, gone])
    told.sync("full")
    told.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE id = %s", [updated["id"]])
    told.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [gone["id"]])
    told.insert([added])
    killed(told, "incremental", where)
    told.sync()
    assert told.execute(OUTBOX) == []
    events = broker.events(5)
    # At least once: what was sent and not noted as sent comes twice.
    assert list(dict.fromkeys(about(events, updated))) == ["upserted", "payload_updated"]
    assert list(dict.fromkeys(about(events, gone))) == ["upserted", "deleted"]
    assert list(dict.fromkeys(about(events, added))) == ["upserted"]
    assert where == "after sending" or len(events) == 5
    told.assert_equal_sides()


@pytest.mark.parametrize("mode", ["full", "incremental", "interval", "verify"])
def test_what_a_killed_run_wrote_is_told_by_a_run_of_any_kind(told: TwoSides, broker: Broker, mode: str) -> None:
    # A full sync writes in the order of ids, and what was written last must be there.
    lost, last = new = sorted(rows(2), key=lambda row: row["id"])
    told.insert(new)
    told.sync("full")
    # The watermark has passed this row, so that an hourly run does not look at it.
    told.with_client(lambda client: client.delete(told.collection, points_selector=[str(lost["id"])]))
    killed(told, "full", "after the write")
    assert told.execute(OUTBOX) == [("upserted", False)]
    if mode == "interval":
        told.sync(interval=(datetime.now(UTC) - timedelta(days=9), datetime.now(UTC) - timedelta(days=8)))
    else:
        told.sync(mode)
    assert told.execute(OUTBOX) == []
    events = broker.events(3)
    assert (about(events, lost), about(events, last)) == (["upserted", "upserted"], ["upserted"])


def test_what_a_killed_run_did_not_do_is_not_told(told: TwoSides, broker: Broker) -> None:
    (row,) = rows(1)
    told.insert([row])
    told.sync("full")
    rename = "UPDATE pattern_lineage_nodes SET pattern_name = %s WHERE id = %s"
    told.execute(rename, ["renamed", row["id"]])
    killed(told, "incremental", "before the write")
    told.execute(rename, [row["pattern_name"], row["id"]])
    told.sync()
    assert told.execute(OUTBOX) == []
    assert about(broker.events(1), row) == ["upserted"]


def test_events_with_one_key_stay_in_order_whatever_is_away(broker: Broker) -> None:
    with broker.behind_a_proxy() as (away, proxy):
        publisher = EventPublisher(away.config(), broker.indexed, patience=2.0)
        left = [OutgoingEvent(f"k{number % 7}".encode(), b'{"n": %d}' % number) for number in range(700)]
        for cut in (True, False, True, False, False):
            (proxy.cut if cut else proxy.restore)()
            arrived, reason = asyncio.run(publisher.publish(left))
            assert reason or len(arrived) == len(left)
            left = [event for position, event in enumerate(left) if position not in arrived]
        assert left == []
        publisher.close()
    by_key: dict[Any, list[Any]] = {}
    for message in broker.received(broker.indexed, 700):
        by_key.setdefault(message.key(), []).append(message.value())
    for number in range(7):
        seen = list(dict.fromkeys(by_key[f"k{number}".encode()]))
        assert seen == [b'{"n": %d}' % other for other in range(number, 700, 7)]


@pytest.mark.parametrize("noted", [(0, 1), (1, 0)], ids=["in order", "in the other order"])
def test_two_changes_of_one_point_in_flight_are_told_as_the_later_one(told: TwoSides, noted: tuple[int, int]) -> None:
    (row,) = rows(1)
    pattern = Pattern(row["id"], "text", {"pattern_id": "p"}, "e", "hash 0")
    changes = [Change(row["id"], Action.NEW, replace(pattern, content_hash=f"hash {number}")) for number in (0, 1)]
    collection = SimpleNamespace(physical="c", identity="i", name="c")

    async def run() -> None:
        async with LockedSession.open(told.as_sync) as session:
            outbox = await open_outbox(session, collection)  # type: ignore[arg-type]
            for number in noted:
                await outbox.intend([changes[number]])
            await outbox.settle([changes[0]])
            assert told.execute(OUTBOX) == [("upserted", False)]
            await outbox.settle([changes[1]])

    asyncio.run(run())
    query = "SELECT content_hash, indexed_at IS NOT NULL FROM pattern_sync_outbox"
    assert told.execute(query) == [("hash 1", True)]


def test_events_about_a_forgotten_collection_go(told: TwoSides) -> None:
    told.execute(
        "INSERT INTO pattern_sync_outbox (name, collection, target_identity, node_id, action, indexed_at) "
        "VALUES ('a', 'gone', 'i', gen_random_uuid(), 'upserted', now()), "
        "('a', 'gone', 'i', gen_random_uuid(), 'upserted', NULL), "
        "('a', 'other', 'i', gen_random_uuid(), 'deleted', now())"
    )

    async def run() -> None:
        async with LockedSession.open(told.as_sync) as session:
            await forget(session, "gone", "i")

    asyncio.run(run())
    assert told.execute("SELECT collection FROM pattern_sync_outbox") == [("other",)]
