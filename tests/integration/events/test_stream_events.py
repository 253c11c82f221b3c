"""The stream with Kafka: events name rows, offsets follow the drain, and nothing waits for a broker."""

import json
import logging
import time
import uuid

import psycopg
import pytest

from code_patterns.codes import Code
from tests.support.brokers import Broker
from tests.support.running_stream import eventually, running_stream
from tests.support.two_sides import TwoSides, rows


@pytest.mark.remedy(Code.EVENT_UNREADABLE)
def test_a_named_row_is_looked_at_though_the_watermark_has_passed_it(told: TwoSides, broker: Broker) -> None:
    by_node, by_pattern, same_pattern, last = rows(4)
    same_pattern |= {"pattern_id": by_pattern["pattern_id"]}
    # What was written last must be there; a full sync writes in the order of ids.
    last |= {"id": uuid.UUID(int=2**128 - 2)}
    told.insert([by_node, by_pattern, last])
    told.execute("ALTER TABLE pattern_lineage_nodes ALTER pattern_version SET DEFAULT '2.0.0'")
    told.insert([same_pattern])
    told.sync("full")
    lost = [str(row["id"]) for row in (by_node, by_pattern, same_pattern)]
    told.with_client(lambda client: client.delete(told.collection, points_selector=lost))
    with running_stream(told) as up:
        broker.send(
            {"payload": {"node_id": lost[0], "correlation_id": "cause-1"}},
            {"event_type": "PATTERN_CREATED", "pattern_id": by_pattern["pattern_id"]},
            {"event_type": "pattern_created", "payload": {"node_id": str(uuid.uuid4()), "pattern_id": "nobody"}},
            b"junk",
            key=b"cause-2",
        )
        eventually(lambda: len(told.points()) == 4)
        eventually(lambda: broker.committed() == 4)
        assert up.is_up
    told.assert_equal_sides()
    assert len(broker.received(f"{broker.topic}.dlq", 1)) == 1
    events = [event["payload"] for event in broker.events(7)]
    causes = {event["node_id"]: event["correlation_id"] for event in events if event["correlation_id"]}
    assert causes == {lost[0]: "cause-1", lost[1]: "cause-2", lost[2]: "cause-2"}


def test_offsets_are_not_committed_before_the_drain(told: TwoSides, broker: Broker) -> None:
    (row,) = rows(1)
    told.insert([row])
    told.sync("full")
    broker.send({"payload": {"node_id": str(row["id"])}})
    [(collection,)] = told.execute("SELECT collection FROM pattern_sync_checkpoints")
    with psycopg.connect(told.postgres.conninfo, autocommit=True) as other:
        # Another run holds the collection's lock, so that the stream cannot drain.
        other.execute("SELECT pg_advisory_lock(hashtext('code_patterns sync'), hashtext(%s))", [collection])
        with running_stream(told) as up:
            for _ in range(4):
                time.sleep(1)
                assert up.is_up
                assert broker.committed() == 0
    with running_stream(told):
        eventually(lambda: broker.committed() == 1)


def test_a_relay_that_loses_its_session_opens_another_one(told: TwoSides, broker: Broker) -> None:
    first, second, third = rows(3)
    told.insert([first])
    told.sync("full")
    end_relay = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_advisory_unlock%'"
    )
    with running_stream(told):
        told.insert([second])
        eventually(lambda: len(broker.received(broker.indexed, 2)) == 2)
        eventually(lambda: told.execute(end_relay) != [(0,)])
        told.insert([third])
        eventually(lambda: len(broker.received(broker.indexed, 3)) == 3)
    assert told.execute("SELECT count(*) FROM pattern_sync_outbox") == [(0,)]


@pytest.mark.parametrize("place", ["behind an old transaction", "ahead of a burst"])
def test_a_parked_row_that_changed_begins_again_and_is_told_again(told: TwoSides, broker: Broker, place: str) -> None:
    good, bad = rows(2)
    bad["pattern_data"] = json.dumps({"code": 5})
    told.insert([good, bad])
    told.sync("full")
    told.execute("UPDATE pattern_sync_dead_letters SET attempts = 4, next_attempt_at = now() + interval '1 day'")
    slow = {"batch_size": 5, "delay_seconds": 0.05, "poll_milliseconds": 50}
    with psycopg.connect(told.postgres.conninfo) as old, running_stream(told, **slow):
        if place == "behind an old transaction":
            old.execute("SELECT pg_current_xact_id()")
        else:
            told.insert(rows(1_500, 10))
        eventually(lambda: told.execute("SELECT 1 FROM pattern_sync_runs WHERE kind = 'stream'"))
        told.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'changed' WHERE id = %s", [bad["id"]])
        eventually(lambda: told.execute("SELECT attempts FROM pattern_sync_dead_letters") != [(4,)])
        assert told.execute("SELECT attempts FROM pattern_sync_dead_letters") == [(1,)]
        told_parked = "SELECT count(*) FROM pattern_sync_outbox WHERE action = 'parked' AND node_id = %s"

        def parked() -> int:
            waiting = told.execute(told_parked, [bad["id"]])[0][0]
            sent = [message.value() or b"" for message in broker.received(broker.indexed, 2)]
            return int(waiting) + sum(json.loads(value)["payload"]["action"] == "parked" for value in sent)

        eventually(lambda: parked() == 2, 20)


def test_a_replay_of_old_events_embeds_nothing(told: TwoSides, broker: Broker) -> None:
    new = rows(200)
    told.insert(new)
    told.sync("full")
    broker.send(*[{"payload": {"pattern_id": new[number % 200]["pattern_id"]}} for number in range(5_000)])
    with running_stream(told, linger_seconds=5.0) as up:
        eventually(lambda: broker.committed() == 5_000, 180)
        result = up.join()
    assert result.counts["embedded_texts"] == 0
    assert result.counts["unchanged"] >= 200
    assert told.execute("SELECT count(*) FROM pattern_sync_outbox") == [(0,)]


@pytest.mark.remedy(Code.KAFKA_AWAY, elsewhere=True)
def test_rows_are_found_and_told_later_while_the_broker_is_away(
    told: TwoSides, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = rows(2)
    told.insert([first])
    told.sync("full")
    with broker.behind_a_proxy() as (away, proxy):
        told.events = away.both_ways()
        proxy.cut()
        with running_stream(told) as up:
            told.insert([second])
            eventually(lambda: second["id"] in told.points())
            eventually(lambda: "is away" in caplog.text)
            eventually(lambda: "is not told about" in caplog.text)
            proxy.restore()
            eventually(lambda: told.execute("SELECT 1 FROM pattern_sync_outbox") == [])
            assert up.is_up
    assert {event["payload"]["node_id"] for event in broker.events(2)} == {str(first["id"]), str(second["id"])}
    told.assert_equal_sides()
    assert caplog.text.count("is away") == 1
    assert f"[{Code.KAFKA_AWAY}]" in caplog.text
    assert caplog.text.count("is not told about") == 1
