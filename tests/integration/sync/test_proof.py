"""The proof sees what the sync cannot: each case breaks the sync's own eyes, or the world behind its back."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from code_patterns.errors import ConfigurationError, OutageError, ParityError
from code_patterns.servers.qdrant import QdrantConfig
from code_patterns.sync.diff import Action, Change, IdRange
from code_patterns.sync.proof_session import ProofSession
from code_patterns.sync.source import PatternSource
from code_patterns.sync.stored_points import StoredPoints
from tests.support.faulty_qdrant import Operation, QdrantServer
from tests.support.two_sides import TwoSides, rows

STAMP_OFF = "ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER"
STAMP_ON = "ALTER TABLE pattern_lineage_nodes ENABLE TRIGGER USER"


def behind_the_triggers(sides: TwoSides, statement: str, parameters: Any) -> None:
    for part, values in ((STAMP_OFF, None), (statement, parameters), (STAMP_ON, None)):
        sides.execute(part, values)


def now(sides: TwoSides) -> int:
    [(xid,)] = sides.execute("SELECT pg_current_xact_id()::text::bigint")
    return int(xid)


def delete_points(sides: TwoSides, victims: list[uuid.UUID]) -> None:
    async def delete(client: AsyncQdrantClient) -> None:
        await client.delete(sides.collection, points_selector=[str(victim) for victim in victims], wait=True)

    sides.with_client(delete)


def test_a_row_that_the_sync_reads_over_is_found(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = rows(30)
    sides.insert(patterns)
    real = PatternSource.code_pages

    async def short_sighted(self: PatternSource, *args: Any) -> AsyncIterator[Any]:
        async for page in real(self, *args):
            yield [row for row in page if row.id != patterns[3]["id"]]

    monkeypatch.setattr(PatternSource, "code_pages", short_sighted)
    with pytest.raises(ParityError, match=f"1 patterns still differ .*{patterns[3]['id']}"):
        sides.sync("full")


def test_a_point_that_the_sync_scrolls_over_is_found(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = rows(30)
    sides.insert(patterns)
    sides.sync("full")
    victim = patterns[4]["id"]
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [victim])
    real = StoredPoints.pages

    async def short_sighted(self: StoredPoints, *args: Any) -> AsyncIterator[Any]:
        async for page in real(self, *args):
            yield [point for point in page if point.id != victim]

    monkeypatch.setattr(StoredPoints, "pages", short_sighted)
    with pytest.raises(ParityError, match=f"1 patterns still differ .*{victim}"):
        sides.sync("full")


def test_a_sync_that_finds_nothing_to_do_is_looked_at_too(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = rows(30)
    sides.insert(patterns)
    sides.sync("full")
    behind_the_triggers(
        sides, "UPDATE pattern_lineage_nodes SET metadata = '{\"x\": 1}' WHERE id = %s", [patterns[5]["id"]]
    )
    monkeypatch.setattr(
        "code_patterns.sync.change_detection.decide", lambda node_id, *_, **__: Change(node_id, Action.UNCHANGED)
    )
    with pytest.raises(ParityError, match=f"1 patterns still differ .*{patterns[5]['id']}"):
        sides.sync("full")


def test_a_proof_that_skips_a_point_proves_nothing(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    sides.insert(rows(30))
    sides.sync("full")
    real = ProofSession.rows

    async def short_sighted(self: ProofSession, within: IdRange) -> AsyncIterator[Any]:
        async for page in real(self, within):
            yield page[1:]

    monkeypatch.setattr(ProofSession, "rows", short_sighted)
    with pytest.raises(ParityError, match="read 29 of 30 rows"):
        sides.sync("verify")


@pytest.mark.parametrize("distance", [1_000_000, 40], ids=["future", "past of another cluster"])
def test_transaction_ids_of_another_cluster_are_not_forgiven(sides: TwoSides, distance: int) -> None:
    patterns = rows(30)
    gone, edited = patterns[0]["id"], patterns[1]["id"]
    sides.insert(patterns)
    # As after a restore: the rows bring their transaction ids along.
    behind_the_triggers(
        sides,
        "UPDATE pattern_lineage_nodes SET sync_xid = (pg_current_xact_id()::text::bigint + %s)::text::xid8",
        [distance],
    )
    assert sides.sync("full").parity == "proven"
    written = int(sides.execute("SELECT max(sync_xid::text::bigint) FROM pattern_lineage_nodes")[0][0])
    while distance < 1_000 and now(sides) <= written:
        pass

    async def edit(client: AsyncQdrantClient) -> None:
        await client.set_payload(sides.collection, payload={"code": "evil = 1"}, points=[str(edited)], wait=True)

    delete_points(sides, [gone])
    sides.with_client(edit)
    with pytest.raises(ConfigurationError, match="2 points of") as found:
        sides.sync("verify")
    assert str(gone) in str(found.value)
    assert str(edited) in str(found.value)


def test_tombstones_of_another_cluster_are_not_forgiven(sides: TwoSides) -> None:
    patterns = rows(30)
    sides.insert(patterns)
    sides.sync("full")
    behind_the_triggers(sides, "DELETE FROM pattern_lineage_nodes WHERE id = %s", [patterns[0]["id"]])
    sides.execute(
        "INSERT INTO pattern_sync_tombstones (node_id, sync_xid) "
        "VALUES (%s, (pg_current_xact_id()::text::bigint + 1000000)::text::xid8)",
        [patterns[0]["id"]],
    )
    with pytest.raises(ConfigurationError, match=r"1 points of .*with no code pattern behind"):
        sides.sync("verify")


def test_another_cluster_than_at_the_start_of_the_run_proves_nothing(sides: TwoSides) -> None:
    async def look() -> None:
        async with aclosing(await ProofSession.open(sides.as_sync, "42")) as session:
            await session.begin()

    with pytest.raises(OutageError, match="Another PostgreSQL cluster answers"):
        asyncio.run(look())


def test_what_changes_during_a_full_sync_is_caught_up_with(migrated_database: str, qdrant_server: QdrantServer) -> None:
    from tests.conftest import config_of

    qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    sides = TwoSides(config_of(migrated_database), qdrant, f"test_{uuid.uuid4().hex[:12]}")
    patterns = sorted(rows(60), key=lambda row: row["id"])
    sides.insert(patterns)

    def meanwhile(operation: Operation, count: int) -> None:
        if operation == "upsert" and count == 2:
            sides.execute(
                'UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "newer"}\' WHERE id = %s',
                [patterns[0]["id"]],
            )
            sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [patterns[1]["id"]])
            sides.insert(rows(1, start=100))

    qdrant_server.before = meanwhile
    result = sides.sync("full", batch_size=20)
    qdrant_server.before = None
    assert result.parity == "proven"
    sides.assert_equal_sides()
    assert sides.points()[patterns[0]["id"]]["code"] == "newer"


class TestNothingThere:
    """Two empty sides agree, which says nothing."""

    @pytest.fixture(autouse=True)
    def logged(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        with caplog.at_level(logging.INFO):
            yield

    def test_where_there_never_was_anything(self, sides: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
        assert sides.sync("full").parity == "not proven"
        assert "there is nothing to prove" in caplog.text
        assert sides.sync("verify").parity == "not proven"
        sides.insert(rows(3))
        assert sides.sync("full").parity == "proven"

    def test_where_both_sides_lost_what_was_proven(self, sides: TwoSides) -> None:
        patterns = rows(30)
        sides.insert(patterns)
        sides.sync("full")
        sides.execute("TRUNCATE pattern_lineage_nodes")
        delete_points(sides, [row["id"] for row in patterns])
        for mode in ("full", "verify"):
            with pytest.raises(ConfigurationError, match=r"where 30 were proven before.*allow_mass_delete"):
                sides.sync(mode)
        assert sides.sync("full", allow_mass_delete=True).parity == "not proven"
        assert sides.sync("full").parity == "not proven"

    def test_a_new_model_does_not_hide_that_everything_is_lost(self, sides: TwoSides) -> None:
        sides.insert(rows(30))
        sides.sync("full")
        sides.execute("TRUNCATE pattern_lineage_nodes")
        with pytest.raises(ConfigurationError, match="where 30 were proven before"):
            sides.with_embedding(document_prefix="other: ").sync("full")
        assert len(sides.points()) == 30


def test_dead_letters_are_excused_counted_and_named(sides: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    sides.insert(rows(10))
    [bad] = rows(1, start=40, pattern_data='"unreadable"')
    sides.insert([bad])
    with caplog.at_level(logging.INFO):
        assert sides.sync("full").parity == "proven"
        assert sides.sync("verify").parity == "proven"
    assert caplog.text.count(f"1 differ as dead letters (such as {bad['id']})") == 2
    sides.execute("DELETE FROM pattern_sync_dead_letters")
    with pytest.raises(ConfigurationError, match="1 whose row cannot be read"):
        sides.sync("verify")


def test_all_are_counted_and_healed_and_some_of_each_kind_named(
    sides: TwoSides, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("code_patterns.sync.proof.MAX_NAMED", 3)
    patterns = rows(120)
    sides.insert(patterns)
    sides.sync("full")
    delete_points(sides, [row["id"] for row in patterns[:70]])
    with pytest.raises(ConfigurationError, match=r"70 points of .*70 missing"):
        sides.sync("verify")
    assert caplog.text.count(": missing in Qdrant") == 3
    assert "67 more points are missing in Qdrant" in caplog.text
    assert sides.sync("verify", heal=True).counts["new"] == 70
    sides.assert_equal_sides()


def test_a_dead_letter_of_a_lost_collection_excuses_nothing_in_its_successor(sides: TwoSides) -> None:
    [unreadable] = rows(1, start=40, pattern_data='"unreadable"')
    sides.insert([*rows(20), unreadable])
    assert sides.sync("full").counts["parked"] == 1

    async def lose(client: AsyncQdrantClient) -> None:
        for item in (await client.get_collections()).collections:
            if item.name.startswith(sides.collection):
                await client.delete_collection(item.name)

    sides.with_client(lose)
    repaired = """UPDATE pattern_lineage_nodes SET pattern_data = '{"code": "x = 1"}' WHERE id = %s"""
    sides.execute(repaired, [unreadable["id"]])
    sides.sync("full", allow_mass_delete=True)
    assert sides.sync("verify").parity == "proven"
    sides.with_client(lambda client: client.delete(sides.collection, [str(unreadable["id"])], wait=True))
    with pytest.raises(ConfigurationError, match="1 missing in Qdrant"):
        sides.sync("verify")
