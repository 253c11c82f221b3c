"""The sync beside a Qdrant that is down, slow, full, strict or exchanged: no row lost, none blamed, nothing wrong."""

import asyncio
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import orjson
import pytest
from psycopg.types.json import Jsonb
from qdrant_client import AsyncQdrantClient, models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers.patience import patiently
from code_patterns.servers.qdrant import Qdrant, open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.retry import RetryPolicy
from code_patterns.sync.pattern import EMBEDDING_HASH, TRUNCATED, WORDS_HASH
from tests.conftest import config_of
from tests.support import faulty_qdrant as faults
from tests.support.faulty_qdrant import MAX_BODY_BYTES, Fault, Operation, QdrantServer
from tests.support.two_sides import TwoSides, rows

on_a_server = pytest.mark.skipif(
    "PATTERNS_TEST_QDRANT_URL" not in os.environ, reason="the local mode has no limits of its own"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry as usual, only sooner."""
    monkeypatch.setattr("code_patterns.servers.qdrant.RETRY", RetryPolicy(first_wait=0.01))


@pytest.fixture
def sides(migrated_database: str, qdrant_server: QdrantServer) -> Iterator[TwoSides]:
    """A migrated, empty database and a collection in that Qdrant."""
    qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url, timeout=10)
    sides = TwoSides(config_of(migrated_database), qdrant, f"test_{uuid.uuid4().hex[:12]}")
    yield sides
    qdrant_server.heal()
    sides.with_client(lambda client: drop(client, sides.collection))


async def drop(client: AsyncQdrantClient, prefix: str) -> None:
    for item in (await client.get_collections()).collections:
        if item.name.startswith(prefix):
            await client.delete_collection(item.name)


def work(sides: TwoSides) -> None:
    """Fill both sides, and leave something of every kind for the next run: new, changed, payload only, deleted."""
    patterns = rows(60)
    sides.insert(patterns)
    sides.sync("full")
    ids = [row["id"] for row in patterns]
    sides.insert(rows(60, start=100))
    sides.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = jsonb_build_object('code', id::text) WHERE id = ANY(%s)",
        [ids[:20]],
    )
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"k\": null}' WHERE id = ANY(%s)", [ids[20:40]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [ids[50:]])


def assert_nothing_recorded_beyond_the_points(sides: TwoSides) -> None:
    """The watermark has passed no row that Qdrant does not hold as it is, and no row is blamed."""
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []
    passed = sides.execute(
        "SELECT id, pattern_data ->> 'code', metadata FROM pattern_lineage_nodes AS row, "
        "pattern_sync_checkpoints AS state WHERE (row.sync_xid, row.id) <= (state.watermark_xid, state.watermark_id)"
    )
    points = sides.points()
    for node_id, code, metadata in passed:
        assert points[node_id]["code"] == code
        assert points[node_id]["metadata"] == metadata


def assert_the_next_run_repairs(sides: TwoSides, server: QdrantServer, mode: str = "incremental") -> None:
    server.heal()
    assert sides.sync(mode, batch_size=10).dead_letters == 0
    sides.assert_equal_sides()
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []
    again = sides.sync(mode)
    assert again.counts["embedded_texts"] == again.counts["payload_only"] == again.counts["deleted"] == 0


WRITES: list[Operation] = ["upsert", "payload", "delete"]


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_passing_trouble_is_retried(
    sides: TwoSides, qdrant_server: QdrantServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One batch at a time: beside others, one request could meet five faults in a row and rightly give up.
    monkeypatch.setattr("code_patterns.sync.runs.context.READ_AHEAD_BATCHES", 0)
    sides.embedding = replace(sides.embedding, concurrency=1)
    work(sides)
    trouble = [
        faults.BUSY,
        Fault(429, retry_after="0"),
        Fault(429, retry_after="Fri, 01 Jan 2100 00:00:00 GMT") if mode == "full" else faults.UNAVAILABLE,
        Fault(503, retry_after="0"),
        Fault(500, "Service internal error: task panicked"),
        Fault(408, "Operation 'write' timed out after 60s"),
        faults.LOST_ANSWER,
        faults.BROKEN_REQUEST,
        faults.ACKNOWLEDGED,
    ]
    operations: list[Operation] = [*WRITES, "scroll" if mode == "full" else "retrieve"]
    for operation in operations:
        qdrant_server.meet(operation, *[fault for one in trouble for fault in (one, faults.NONE)])
    result = sides.sync(mode, batch_size=5)
    assert (result.counts["parked"], result.counts["deleted"], result.counts["new"]) == (0, 10, 60)
    assert all(len(qdrant_server.faults[operation]) < 2 * len(trouble) for operation in operations)
    assert_the_next_run_repairs(sides, qdrant_server, mode)


def test_first_requests_whose_answer_is_lost_are_no_conflict(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    sides.insert(rows(10))
    qdrant_server.meet("manage", faults.LOST_ANSWER, faults.NONE, faults.LOST_ANSWER)
    assert sides.sync().parity == "proven"
    assert len(qdrant_server.faults["manage"]) == 0
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.QDRANT_AWAY)
def test_down_before_the_run_is_an_outage(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    work(sides)
    qdrant_server.go_down()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{qdrant_server.url}/readyz")
    with pytest.raises(OutageError, match=r"patterns_qdrant.*cannot connect.*Check host and port.*Tried once"):
        sides.sync()
    qdrant_server.heal()
    assert_nothing_recorded_beyond_the_points(sides)
    assert_the_next_run_repairs(sides, qdrant_server)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.remedy(Code.QDRANT_BUSY)
def test_busy_before_the_run_may_be_tried_again(sides: TwoSides, qdrant_server: QdrantServer, status: int) -> None:
    work(sides)
    qdrant_server.meet("read", Fault(status, retry_after="1"))
    with pytest.raises(OutageError, match="patterns_qdrant"):
        sides.sync()
    assert_the_next_run_repairs(sides, qdrant_server)


def test_a_server_that_comes_back_is_waited_for_within_the_run(
    sides: TwoSides, qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patiently, "__defaults__", (0.05,))
    work(sides)
    for _ in range(3):
        qdrant_server.meet("read", Fault(503))
    assert sides.sync(patience_seconds=60).counts["parked"] == 0
    assert caplog.text.count("Try 2 follows in") == 1
    sides.assert_equal_sides()


@pytest.mark.parametrize("written", [1, 2])
@pytest.mark.parametrize(
    "changed", [{"code": "def other(): ..."}, {"description": "what it is for"}], ids=["text", "words"]
)
def test_a_point_that_was_written_in_part_is_right_again_when_its_row_goes_back(
    sides: TwoSides, monkeypatch: pytest.MonkeyPatch, written: int, changed: dict[str, str]
) -> None:
    """Qdrant does the operations of a request one after the other, and a crash or a full disk may end it between two.

    The hash must not say meanwhile that a vector or words are the row's as it was, nor as it will be.
    """
    sides.insert(rows(3))
    sides.sync("full")
    before = sides.points()
    victim = next(iter(before))
    mark = {TRUNCATED: True}
    sides.with_client(lambda client: client.set_payload(sides.collection, mark, points=[str(victim)], wait=True))
    update = Qdrant.update_points

    async def cut(self: Qdrant, collection: str, body: bytes) -> None:
        operations = orjson.loads(body)["operations"]
        assert len(operations) == 3
        await update(self, collection, orjson.dumps({"operations": operations[:written]}))
        raise OutageError(Code.QDRANT_AWAY, "Qdrant has no disk left")

    [(data,)] = sides.execute("SELECT pattern_data FROM pattern_lineage_nodes WHERE id = %s", [victim])
    change = "UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = %s"
    sides.execute(change, [Jsonb(data | changed), victim])
    with monkeypatch.context() as patch:
        patch.setattr(Qdrant, "update_points", cut)
        with pytest.raises(OutageError):
            sides.sync()
    half = sides.points()[victim]
    assert (EMBEDDING_HASH if "code" in changed else WORDS_HASH) not in half

    sides.execute(change, [Jsonb(data), victim])
    assert sides.sync().counts["embedded_texts"] == (1 if "code" in changed else 0)
    after = sides.points()[victim]
    assert after["vector"] == before[victim]["vector"]
    # It stays with the vector that it belongs to.
    assert after.get(TRUNCATED) == (None if "code" in changed else True)
    assert sides.sync("full").counts["unchanged"] == 3
    sides.assert_equal_sides()


def take_down_at(server: QdrantServer, wanted: Operation, number: int) -> Callable[[Operation, int], None]:
    seen = server.requests[wanted]

    def hook(operation: Operation, count: int) -> None:
        if operation == wanted and count == seen + number:
            server.go_down()

    return hook


@pytest.mark.parametrize(
    ("mode", "operation", "number"),
    [
        *(("incremental", operation, 0) for operation in WRITES),
        ("incremental", "upsert", 3),
        ("full", "upsert", 0),
        ("full", "delete", 0),
    ],
)
def test_going_down_in_mid_run_stops_it_and_it_is_resumed(
    sides: TwoSides, qdrant_server: QdrantServer, mode: str, operation: Operation, number: int
) -> None:
    work(sides)
    qdrant_server.before = take_down_at(qdrant_server, operation, number)
    with pytest.raises(OutageError, match="patterns_qdrant"):
        sides.sync(mode, batch_size=10)
    assert sides.execute("SELECT status FROM pattern_sync_runs ORDER BY started_at DESC LIMIT 1") == [("failed",)]
    qdrant_server.heal()
    assert_nothing_recorded_beyond_the_points(sides)
    assert_the_next_run_repairs(sides, qdrant_server, mode)


LASTING = {
    "lost-answer": (faults.LOST_ANSWER, "broke in the middle", pytest.mark.remedy(Code.QDRANT_AWAY)),
    "broken-request": (faults.BROKEN_REQUEST, "broke in the middle", pytest.mark.remedy(Code.QDRANT_AWAY)),
    "acknowledged": (
        faults.ACKNOWLEDGED,
        "'acknowledged' instead of 'completed'",
        pytest.mark.remedy(Code.WRITE_NOT_COMPLETED),
    ),
    "disk-full": (faults.DISK_FULL, "No space left on device", pytest.mark.remedy(Code.QDRANT_BUSY)),
    "503": (faults.UNAVAILABLE, "503", pytest.mark.remedy(Code.QDRANT_BUSY)),
    "429": (faults.BUSY, "429", pytest.mark.remedy(Code.QDRANT_BUSY)),
    "timeout": (Fault(delay_answer=1.5), "no answer within 1 s", pytest.mark.remedy(Code.QDRANT_AWAY)),
}
WITHOUT_AN_ANSWER = ("lost-answer", "acknowledged", "timeout")
"""Nobody knows what was done. The other faults end every write alike."""


@pytest.mark.parametrize(
    ("operation", "fault", "told"),
    [
        pytest.param(operation, fault, told, id=f"{name}-{operation}", marks=remedy)
        for operation in WRITES
        for name, (fault, told, remedy) in LASTING.items()
        if operation == "upsert" or name in WITHOUT_AN_ANSWER
    ],
)
def test_lasting_trouble_stops_the_run_and_blames_no_row(
    sides: TwoSides,
    qdrant_server: QdrantServer,
    operation: Operation,
    fault: Fault,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault.delay_answer:
        monkeypatch.setitem(Qdrant.call.__kwdefaults__, "attempts", 2)
        sides.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url, timeout=1)
    work(sides)
    qdrant_server.always[operation] = fault
    with pytest.raises(OutageError, match=told) as stopped:
        sides.sync(batch_size=10)
    assert "patterns_qdrant" in str(stopped.value)
    qdrant_server.heal()
    assert_nothing_recorded_beyond_the_points(sides)
    assert_the_next_run_repairs(sides, qdrant_server)


def test_retry_after_is_honoured(sides: TwoSides, qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("asyncio.sleep", note)
    sides.insert(rows(3))
    qdrant_server.meet("upsert", Fault(429, retry_after="7"), Fault(503, retry_after="3600"))
    assert sides.sync().counts["new"] == 3
    asked, longest = (seconds for seconds in waits if seconds >= 1)
    assert 7.0 <= asked <= 7.5
    assert longest == 30.0


@pytest.mark.parametrize("changed", [1, 40])
@pytest.mark.remedy(Code.EVERY_POINT_REFUSED)
def test_strict_mode_that_refuses_every_write_is_one_error_and_no_row_is_blamed(
    sides: TwoSides, qdrant_server: QdrantServer, changed: int
) -> None:
    work(sides)
    sides.sync()
    sides.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = jsonb_build_object('code', 'new ' || id) WHERE id IN "
        "(SELECT id FROM pattern_lineage_nodes LIMIT %s)",
        [changed],
    )
    qdrant_server.always.update(upsert=faults.STRICT, payload=faults.STRICT)
    before = qdrant_server.requests.copy()
    with pytest.raises(ConfigurationError, match=r"Max points count limit.*refuses a harmless point too"):
        sides.sync()
    # The changed points, and the harmless one.
    assert qdrant_server.requests["payload"] == before["payload"] + 1
    assert qdrant_server.requests["upsert"] == before["upsert"] + 1
    qdrant_server.heal()
    assert_nothing_recorded_beyond_the_points(sides)
    assert_the_next_run_repairs(sides, qdrant_server)


@pytest.mark.remedy(Code.EVERY_POINT_REFUSED)
def test_a_server_that_refuses_all_but_a_harmless_point_blames_no_row(
    sides: TwoSides, qdrant_server: QdrantServer
) -> None:
    work(sides)
    # The mark of the witness holds the time alone, and may come first: what is refused has a pattern's payload.
    qdrant_server.markers[b'"language":'] = Fault(400, "Wrong input: not this")
    with pytest.raises(ConfigurationError, match=r"refused every one of 30 patterns.*patterns_qdrant.*not this"):
        sides.sync(batch_size=40)
    qdrant_server.heal()
    assert_nothing_recorded_beyond_the_points(sides)
    assert_the_next_run_repairs(sides, qdrant_server)


async def limit_strictly(client: AsyncQdrantClient, name: str, **limits: int) -> None:
    """Set limits, or take them away where there are none."""
    await client.update_collection(name, strict_mode_config=models.StrictModeConfig(enabled=bool(limits), **limits))


@on_a_server
@pytest.mark.remedy(Code.EVERY_POINT_REFUSED)
def test_limits_of_a_real_server_name_themselves(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    work(sides)
    physical = sides.with_client(lambda client: client.get_aliases()).aliases
    [name] = [alias.collection_name for alias in physical if alias.alias_name == sides.collection]
    # The server looks at its own size only now and then, so that a few batches pass before the limit is felt.
    sides.with_client(lambda client: limit_strictly(client, name, max_points_count=20))

    def fill() -> None:
        for start in range(200, 600, 40):
            sides.insert(rows(40, start=start))
            sides.sync(batch_size=5)

    with pytest.raises(ConfigurationError, match="Max points count limit of 20 reached"):
        fill()
    assert_nothing_recorded_beyond_the_points(sides)
    sides.with_client(lambda client: limit_strictly(client, name))
    assert_the_next_run_repairs(sides, qdrant_server)


@on_a_server
def test_smaller_batches_than_chosen_are_found_by_halving(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    sides.insert(rows(5))
    sides.sync("full")
    [name] = [
        alias.collection_name
        for alias in sides.with_client(lambda client: client.get_aliases()).aliases
        if alias.alias_name == sides.collection
    ]
    sides.with_client(lambda client: limit_strictly(client, name, upsert_max_batchsize=10))
    sides.insert(rows(90, start=10))
    assert sides.sync(batch_size=100).counts["new"] == 90
    assert_the_next_run_repairs(sides, qdrant_server)


def test_a_batch_beyond_the_largest_request_is_cut(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    sides.insert(rows(3))
    sides.sync("full")
    # A megabyte each as JSON, in code and once more in text, in so few characters that they make one batch.
    large = rows(30, start=10)
    for number, row in enumerate(large):
        row["pattern_data"] = json.dumps({"code": f"# {number} " + "\x01" * 180_000})
    sides.insert(large)
    assert sides.sync(batch_size=100).counts["new"] == 30
    assert MAX_BODY_BYTES / 2 < qdrant_server.largest_body < MAX_BODY_BYTES
    sides.assert_equal_sides()

    sides.execute('UPDATE pattern_lineage_nodes SET metadata = \'{"only": "payload"}\'')
    assert sides.sync(batch_size=100).counts["payload_only"] == 33
    assert qdrant_server.largest_body < MAX_BODY_BYTES
    assert_the_next_run_repairs(sides, qdrant_server)


@pytest.mark.parametrize("neighbours", [0, 20])
@pytest.mark.remedy(Code.POINT_REFUSED)
def test_a_pattern_that_no_request_can_carry_is_parked_alone(
    sides: TwoSides, qdrant_server: QdrantServer, neighbours: int
) -> None:
    sides.insert(rows(3))
    sides.sync("full")
    giant, *others = rows(1 + neighbours, start=10)
    # Code and text both hold it.
    giant["pattern_data"] = json.dumps({"code": "y" * 17_000_000})
    sides.insert([*others[:7], giant, *others[7:]])
    result = sides.sync()
    assert (result.counts["new"], result.counts["parked"]) == (neighbours, 1)
    [(node_id, stage, error)] = sides.execute("SELECT node_id, stage, error FROM pattern_sync_dead_letters")
    assert (node_id, stage) == (giant["id"], "write")
    assert "larger than allowed (limit: 33554432 bytes)" in error
    assert len(sides.points()) == 3 + neighbours

    sides.execute('UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "small"}\' WHERE id = %s', [giant["id"]])
    assert_the_next_run_repairs(sides, qdrant_server)


async def exchange(client: AsyncQdrantClient, name: str, how: str) -> None:
    """Do to the collection behind a name what people do."""
    [physical] = [item.collection_name for item in (await client.get_aliases()).aliases if item.alias_name == name]
    if how != "other-alias":
        await client.delete_collection(physical)
    if how == "recreated":
        await create(client, physical)
    if how in ("other-alias", "recreated-behind-alias"):
        await create(client, f"{name}_other")
    if how == "recreated":
        await client.update_collection_aliases([alias(name, physical)])
    if how == "other-alias":
        forget = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))
        await client.update_collection_aliases([forget, alias(name, f"{name}_other")])
    if how == "recreated-behind-alias":
        await client.update_collection_aliases([alias(name, f"{name}_other")])


async def create(client: AsyncQdrantClient, name: str) -> None:
    await client.create_collection(name, vectors_config=models.VectorParams(size=64, distance=models.Distance.COSINE))


def alias(name: str, collection: str) -> models.CreateAliasOperation:
    return models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=name))


@pytest.mark.parametrize("mode", ["incremental", "full"])
@pytest.mark.parametrize(("operation", "number"), [("upsert", 4), ("delete", 0)], ids=["middle", "last"])
@pytest.mark.parametrize(
    "how",
    [
        pytest.param("deleted", marks=pytest.mark.remedy(Code.COLLECTION_LOST)),
        *("recreated", "recreated-behind-alias", "other-alias"),
    ],
)
def test_a_collection_exchanged_in_mid_run_is_never_a_success_with_wrong_content(
    sides: TwoSides, qdrant_server: QdrantServer, how: str, mode: str, operation: Operation, number: int
) -> None:
    work(sides)
    seen = qdrant_server.requests[operation]
    exchanged = threading.Event()

    def hook(current: Operation, count: int) -> None:
        if current == operation and count == seen + number:
            qdrant_server.before = None
            asyncio.run(act())
            exchanged.set()

    async def act() -> None:
        client = await open_client(sides.qdrant)
        try:
            await exchange(client, sides.collection, how)
        finally:
            await client.close()

    qdrant_server.before = hook
    with pytest.raises(Exception, match=r"patterns_qdrant|differ between PostgreSQL and") as stopped:
        sides.sync(mode, batch_size=10)
    # The run may end by another request as soon as the collection is gone.
    assert exchanged.wait(60)
    assert getattr(stopped.value, "retryable", False), stopped.value
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []
    aliases = {item.alias_name for item in sides.with_client(lambda client: client.get_aliases()).aliases}
    assert (sides.collection in aliases) == (how != "deleted")
    qdrant_server.heal()
    if how in ("recreated-behind-alias", "other-alias"):
        # The alias leads to a collection that is none of the sync's; a person has to take it away.
        with pytest.raises(ConfigurationError, match=f"leads to the collection '{sides.collection}_other'"):
            sides.sync(batch_size=10)
        sides.with_client(lambda client: client.delete_collection(f"{sides.collection}_other"))
    result = sides.sync(batch_size=10)
    # Where only the alias was moved away, the sync's own collection is as it was, and a run may go on from there.
    assert (result.kind, result.parity) == ("full", "proven") or how == "other-alias"
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.COLLECTION_LOST)
def test_a_point_deleted_between_comparison_and_write_is_written_by_the_next_try(
    sides: TwoSides, qdrant_server: QdrantServer
) -> None:
    work(sides)
    seen = qdrant_server.requests["payload"]
    [victim] = sides.execute("SELECT id FROM pattern_lineage_nodes WHERE metadata = '{\"k\": null}' LIMIT 1")[0]

    async def delete() -> None:
        client = await open_client(sides.qdrant)
        try:
            await client.delete(sides.collection, models.PointIdsList(points=[str(victim)]))
        finally:
            await client.close()

    def hook(current: Operation, count: int) -> None:
        if current == "payload" and count == seen:
            asyncio.run(delete())

    qdrant_server.before = hook
    with pytest.raises(OutageError, match=f"No point with id.*{victim}"):
        sides.sync(batch_size=1000)
    assert_the_next_run_repairs(sides, qdrant_server)
