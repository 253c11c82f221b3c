"""A proof by digests finds whatever a proof that reads every row would find, and reads next to nothing to say so."""

import json
import logging
import os
import re
import signal
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.errors import ConfigurationError
from code_patterns.sync import proof_levels
from code_patterns.sync.pattern import CONTENT_HASH
from code_patterns.sync.pipeline import Pipeline
from code_patterns.sync.proof_session import ProofSession
from tests.integration.sync.test_identity import in_process
from tests.support.two_sides import TwoSides, rows

ROWS = 60
RANGE = 10
OTHER_CODE = json.dumps({"code": "other = 1"})


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("code_patterns.sync.digests.RANGE_ROWS", RANGE)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the pages of rows that proofs read in full."""
    found: list[int] = []
    real = ProofSession.rows

    async def counted(self: ProofSession, *arguments: Any) -> Any:
        async for page in real(self, *arguments):
            found.append(len(page))
            yield page

    monkeypatch.setattr(ProofSession, "rows", counted)
    return found


@pytest.fixture
def synced(sides: TwoSides) -> list[uuid.UUID]:
    """Ids of rows that are proven by a full sync, in id order."""
    sides.insert(rows(ROWS))
    assert sides.sync("full").parity == "proven"
    return [row[0] for row in sides.execute("SELECT id FROM pattern_lineage_nodes ORDER BY id")]


def by_digest(caplog: pytest.LogCaptureFixture) -> list[int]:
    found = re.findall(r"Compared .* per second\), ([\d,]+) of them by the digests", caplog.text)
    return [int(number.replace(",", "")) for number in found]


def test_the_proof_of_a_first_load_reads_no_row_again(sides: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    sides.insert(rows(ROWS))
    with caplog.at_level(logging.INFO):
        assert sides.sync("full").parity == "proven"
    assert by_digest(caplog) == [ROWS]
    sides.assert_equal_sides()


def test_shards_leave_the_proof_next_to_nothing_to_read(sides: TwoSides, reads: list[int]) -> None:
    sides.insert(rows(ROWS))
    if sides.qdrant.path:
        pytest.skip("an embedded storage has no shards")
    partition = sides.partition(shards=3)
    for ids in partition.ranges:
        sides.sync("full", id_range=ids)
    reads.clear()
    result = sides.sync("full", points_before=partition.points)
    assert (result.parity, result.counts["unchanged"], reads) == ("proven", ROWS, [])
    sides.assert_equal_sides()


def test_a_full_sync_with_nothing_to_do_reads_no_row(
    sides: TwoSides, synced: list[uuid.UUID], reads: list[int]
) -> None:
    result = sides.sync("full")
    assert (result.parity, result.counts["unchanged"], reads) == ("proven", len(synced), [])


def test_only_ranges_with_changed_rows_are_read(sides: TwoSides, synced: list[uuid.UUID], reads: list[int]) -> None:
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"x\": 1}' WHERE id = %s", [synced[25]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [synced[45]])
    sides.sync()
    assert sides.sync("full").parity == "proven"
    assert 0 < sum(reads) <= 2 * RANGE * 3 // 2
    reads.clear()
    assert sides.sync("full").parity == "proven"
    assert reads == []
    sides.assert_equal_sides()


async def delete_point(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    await client.delete(name, points_selector=[str(victim)], wait=True)


async def edit_hash(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    await client.set_payload(name, payload={CONTENT_HASH: "0" * 32}, points=[str(victim)], wait=True)


async def drop_hash(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    await client.delete_payload(name, keys=[CONTENT_HASH], points=[str(victim)], wait=True)


async def number_for_hash(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    await client.set_payload(name, payload={CONTENT_HASH: 10**30}, points=[str(victim)], wait=True)


async def drop_words(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    await client.delete_vectors(name, vectors=["words"], points=[str(victim)], wait=True)


async def add_neighbour(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    [found] = await client.retrieve(name, ids=[str(victim)], with_payload=True)
    neighbour = str(uuid.UUID(int=victim.int + 1))
    point = models.PointStruct(id=neighbour, vector=[1.0] * 64, payload=found.payload)
    await client.upsert(name, points=[point], wait=True)


async def add_integer(client: AsyncQdrantClient, name: str, _: uuid.UUID) -> None:
    await client.upsert(name, points=[models.PointStruct(id=7, vector=[1.0] * 64, payload={})], wait=True)


async def exchange(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    """A foreign point for one of ours: both sides count the same."""
    await add_neighbour(client, name, victim)
    await delete_point(client, name, victim)


Disturb = Callable[[AsyncQdrantClient, str, uuid.UUID], Awaitable[None]]


DISTURBANCES: Sequence[Disturb] = (
    delete_point,
    edit_hash,
    drop_hash,
    number_for_hash,
    drop_words,
    add_neighbour,
    add_integer,
    exchange,
)


@pytest.mark.parametrize("disturb", DISTURBANCES)
def test_a_disturbed_point_is_repaired(sides: TwoSides, synced: list[uuid.UUID], disturb: Disturb) -> None:
    for position in (0, 25, ROWS - 1):
        sides.with_client(lambda client, victim=synced[position]: disturb(client, sides.collection, victim))
        assert sides.sync("full").parity == "proven"
        sides.assert_equal_sides()


ROW_CHANGES = {
    "code": f"UPDATE pattern_lineage_nodes SET pattern_data = '{OTHER_CODE}' WHERE id = %s",
    "metadata": "UPDATE pattern_lineage_nodes SET metadata = '{}' WHERE id = %s",
    "no metadata": "UPDATE pattern_lineage_nodes SET metadata = NULL WHERE id = %s",
    "name": "UPDATE pattern_lineage_nodes SET pattern_name = 'other' WHERE id = %s",
    "pattern id": "UPDATE pattern_lineage_nodes SET pattern_id = 'other' WHERE id = %s",
    "version": "UPDATE pattern_lineage_nodes SET pattern_version = '9.9' WHERE id = %s",
    "path": "UPDATE pattern_lineage_nodes SET file_path = 'other.py' WHERE id = %s",
    "language": "UPDATE pattern_lineage_nodes SET language = 'other' WHERE id = %s",
    "time": "UPDATE pattern_lineage_nodes SET created_at = created_at - interval '1 microsecond' WHERE id = %s",
    "type": "UPDATE pattern_lineage_nodes SET pattern_type = 'document' WHERE id = %s",
    "id": "UPDATE pattern_lineage_nodes SET id = gen_random_uuid() WHERE id = %s",
    "deleted": "DELETE FROM pattern_lineage_nodes WHERE id = %s",
}


def test_rows_that_changed_without_a_trace_are_found(sides: TwoSides, synced: list[uuid.UUID]) -> None:
    for victim, change in zip(synced[20:], ROW_CHANGES, strict=False):
        sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
        sides.execute(ROW_CHANGES[change], [victim])
        sides.execute("ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER")
        assert sides.sync("full").parity == "proven", change
        sides.assert_equal_sides()


def test_lost_and_wrong_digests_cost_only_time(sides: TwoSides, synced: list[uuid.UUID], reads: list[int]) -> None:
    for damage in (
        "TRUNCATE pattern_sync_digests",
        "UPDATE pattern_sync_digests SET points_digest = 'x'",
        "UPDATE pattern_sync_digests SET rows_digest = 'x'",
        "DELETE FROM pattern_sync_digests WHERE first_id > '00000000-0000-0000-0000-000000000000'",
    ):
        sides.execute(damage)
        reads.clear()
        assert sides.sync("full").parity == "proven"
        assert sum(reads) == len(synced)


def test_a_lost_point_is_found_by_digests_alone_and_stays_found(
    sides: TwoSides, synced: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.with_client(lambda client: delete_point(client, sides.collection, synced[30]))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=f"1 missing in Qdrant.*{synced[30]}"):
            sides.sync("verify", nights=100)


# --- whole points, some each night


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Ids of points that are read whole."""
    found: list[uuid.UUID] = []
    real = proof_levels.stored_point_of

    def noted(record: models.Record, dimension: int) -> Any:
        found.append(uuid.UUID(str(record.id)))
        return real(record, dimension)

    monkeypatch.setattr(proof_levels, "stored_point_of", noted)
    # A page ends with its range: what is read beyond would count.
    monkeypatch.setattr(proof_levels, "WHOLE_POINTS", 1)
    return found


async def zero(client: AsyncQdrantClient, name: str, victim: uuid.UUID) -> None:
    vectors = [models.PointVectors(id=str(victim), vector=[0.0] * 64)]
    await client.update_vectors(name, points=vectors, wait=True)


def test_every_point_is_read_whole_once_in_its_nights(
    sides: TwoSides, synced: list[uuid.UUID], whole: list[uuid.UUID]
) -> None:
    seen: list[uuid.UUID] = []
    for night in range(3):
        whole.clear()
        assert sides.sync("verify", nights=3, dag_run=f"night {night}").parity == "proven"
        assert 0 < len(whole) < len(synced) / 2
        seen += whole
    assert sorted(seen) == synced


def test_a_zeroed_vector_is_found_when_its_range_has_its_night(sides: TwoSides, synced: list[uuid.UUID]) -> None:
    sides.with_client(lambda client: zero(client, sides.collection, synced[-1]))
    told = []
    for night in range(3):
        try:
            sides.sync("verify", nights=3, dag_run=f"night {night}")
        except ConfigurationError as error:
            told.append((night, str(error)))
    assert [night for night, _ in told] == [2]
    assert str(synced[-1]) in told[0][1]
    healed = sides.sync("verify", nights=3, heal=True, dag_run="healing")
    assert healed.parity == "proven"
    sides.assert_equal_sides()


def _verify_until(sides: TwoSides, monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    monkeypatch.setattr("code_patterns.sync.proof.KEPT_AT_ONCE", 1)
    left = [pages]
    real = proof_levels.stored_point_of

    def mortal(record: models.Record, dimension: int) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(record, dimension)

    monkeypatch.setattr(proof_levels, "stored_point_of", mortal)
    sides.sync("verify", dag_run="night")


def test_what_was_found_wrong_is_read_whole_again_whatever_earlier_nights_found(
    sides: TwoSides, synced: list[uuid.UUID]
) -> None:
    """A changed row had its range read whole in a night that was not the range's own."""
    sides.sync("verify", dag_run="first")
    *_, changed, victim = synced
    sides.with_client(lambda client: zero(client, sides.collection, victim))
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"changed\": 1}' WHERE id = %s", [changed])
    with pytest.raises(ConfigurationError, match="1 with a vector that is zero"):
        sides.sync("verify", nights=3, dag_run="night")
    sides.sync()
    assert sides.sync("verify", nights=3, heal=True, dag_run="healing").parity == "proven"
    assert any(sides.points()[victim]["vector"])


def test_a_verification_that_is_killed_goes_on_where_it_was(
    sides: TwoSides, synced: list[uuid.UUID], whole: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        in_process(_verify_until, sides, patched, 45)
    assert sides.sync("verify", dag_run="night").parity == "proven"
    assert synced[-1] in whole
    assert synced[0] not in whole
    assert len(whole) < 40
    # Its verdict is there: cleared, it verifies everything again.
    whole.clear()
    assert sides.sync("verify", dag_run="night").parity == "proven"
    assert sorted(whole) == synced


@pytest.mark.parametrize("nights", [1, 3])
def test_what_was_read_in_a_future_that_a_clock_had_is_read_again(
    sides: TwoSides, synced: list[uuid.UUID], whole: list[uuid.UUID], nights: int
) -> None:
    """A server's clock was ahead and was set back, or the dump of such a server was restored."""
    sides.sync("verify", dag_run="ahead")
    sides.execute("UPDATE pattern_sync_digests SET whole_at = whole_at + interval '1 year'")
    whole.clear()
    for night in range(nights):
        assert sides.sync("verify", nights=nights, dag_run=f"night {night}").parity == "proven"
    assert sorted(whole) == synced


def test_rows_that_change_during_a_first_load_are_proven_as_they_are_then(
    sides: TwoSides, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.insert(rows(ROWS))
    real = Pipeline._apply
    changed: list[uuid.UUID] = []

    async def disturbed(self: Pipeline, batch: Any) -> Any:
        result = await real(self, batch)
        if not changed:
            victims = sides.execute("SELECT id FROM pattern_lineage_nodes ORDER BY id LIMIT 2")
            changed.extend(row[0] for row in victims)
            sides.execute(ROW_CHANGES["code"], [changed[0]])
            sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [changed[1]])
            sides.insert(rows(3, start=ROWS))
        return result

    monkeypatch.setattr(Pipeline, "_apply", disturbed)
    assert sides.sync("full", batch_size=20).parity == "proven"
    assert changed
    sides.sync()
    sides.assert_equal_sides()


def test_a_session_that_ends_during_the_load_costs_only_time(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    sides.insert(rows(ROWS))
    processes: list[int] = []
    open_session, apply = ProofSession.open, Pipeline._apply

    async def noted(*arguments: Any) -> ProofSession:
        session = await open_session(*arguments)
        processes.append(session._connection.info.backend_pid)
        return session

    async def ending(self: Pipeline, batch: Any) -> Any:
        if len(processes) == 1:
            sides.execute("SELECT pg_terminate_backend(%s, 10000)", [processes[0]])
        return await apply(self, batch)

    monkeypatch.setattr(ProofSession, "open", noted)
    monkeypatch.setattr(Pipeline, "_apply", ending)
    assert sides.sync("full", batch_size=20).parity == "proven"
    assert len(processes) == 2
    sides.assert_equal_sides()
