"""Another model without downtime: built beside the old collection, proven, swapped, and back again."""

import asyncio
import os
import random
import signal
import threading
import time
import uuid
from typing import Any

import pytest

from code_patterns.codes import Code
from code_patterns.embeddings import open_embedder
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.qdrant import Qdrant, open_client
from code_patterns.sync import runs
from code_patterns.sync.runs import sync
from tests.integration.sync.test_sync_races import in_process
from tests.support.two_sides import TwoSides, rows


def names_behind(sides: TwoSides) -> tuple[str, set[str]]:
    """The collection that the alias names, and all that exist."""

    async def look(client: Any) -> tuple[str, set[str]]:
        aliases = {item.alias_name: item.collection_name for item in (await client.get_aliases()).aliases}
        names = {item.name for item in (await client.get_collections()).collections}
        return aliases[sides.collection], {name for name in names if name.startswith(sides.collection)}

    return sides.with_client(look)


def test_hourly_changes_flow_to_readers_until_the_swap_and_after(sides: TwoSides) -> None:
    sides.insert(rows(40))
    sides.sync("full")
    old, _ = names_behind(sides)
    other = sides.with_embedding(model="hashing-v2", dimension=96)
    other.sync("full", limit=10)
    assert names_behind(sides)[0] == old, "a half-built collection was shown to readers"
    sides.insert(rows(5, start=50))
    assert other.sync().counts["new"] == 5
    sides.assert_equal_sides()

    result = other.sync("full")
    assert (result.counts["new"], result.counts["unchanged"], result.parity) == (35, 10, "proven")
    new, names = names_behind(sides)
    assert names == {old, new}
    other.assert_equal_sides()
    sides.insert(rows(3, start=60))
    hourly = other.sync()
    assert (hourly.kind, hourly.counts["new"]) == ("incremental", 3)
    other.assert_equal_sides()
    history = sides.execute("SELECT kind, collection, replaced FROM pattern_sync_runs ORDER BY started_at")
    assert history == [
        ("full", old, None),
        ("full", new, None),
        ("incremental", old, None),
        ("full", new, old),
        ("incremental", new, None),
    ]
    assert sides.execute("SELECT collection FROM pattern_sync_checkpoints") == [(new,)]


def test_rollback_brings_the_old_collection_up_to_date_and_stays(sides: TwoSides) -> None:
    sides.insert(rows(30))
    sides.sync("full")
    with pytest.raises(ConfigurationError, match="nothing to go back to"):
        sides.sync("full", rollback=True)
    old, _ = names_behind(sides)
    other = sides.with_embedding(model="hashing-v2", dimension=96)
    other.sync("full")
    new, _ = names_behind(sides)
    sides.insert(rows(4, start=40))
    other.sync()

    back = other.sync("full", rollback=True)
    assert (back.counts["new"], back.counts["unchanged"], back.parity) == (4, 30, "proven")
    assert names_behind(sides) == (old, {old, new})
    sides.assert_equal_sides()
    sides.insert(rows(1, start=50))
    assert other.sync().counts["new"] == 1
    assert other.sync("full").counts["unchanged"] == 35, "a later full sync went forward again by itself"
    assert names_behind(sides)[0] == old

    forward = other.sync("full", rollback=True)
    assert forward.parity == "proven"
    assert names_behind(sides)[0] == new
    other.assert_equal_sides()
    assert other.sync("full").counts["unchanged"] == 35


def test_after_a_rollback_and_forward_again_the_connection_counts(sides: TwoSides) -> None:
    sides.insert(rows(10))
    sides.sync("full")
    first, _ = names_behind(sides)
    other = sides.with_embedding(dimension=32)
    other.sync("full")
    second, _ = names_behind(sides)
    for expected in (first, second):
        other.sync("full", rollback=True)
        assert names_behind(sides)[0] == expected
    other.sync("full")
    assert names_behind(sides)[0] == second
    sides.sync("full")
    assert names_behind(sides)[0] == first


class Rollback:
    """Two collections, of which readers see the second."""

    def __init__(self, sides: TwoSides) -> None:
        sides.insert(rows(10))
        sides.sync("full")
        self.old = names_behind(sides)[0]
        self.sides = sides.with_embedding(dimension=96)
        self.sides.sync("full")
        self.new = names_behind(sides)[0]

    def go_back(self, dag_run: str) -> str:
        """Run with ``rollback``; return what readers see then."""
        assert self.sides.sync("full", rollback=True, dag_run=dag_run).parity == "proven"
        return names_behind(self.sides)[0]


@pytest.fixture
def rollback(sides: TwoSides) -> Rollback:
    return Rollback(sides)


def test_a_rollback_that_fails_after_the_exchange_does_not_go_forward_when_it_is_tried_again(
    rollback: Rollback, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise OutageError(Code.QDRANT_AWAY, "Qdrant has just gone away")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "confirm", away)
        with pytest.raises(OutageError):
            rollback.go_back("back")
    assert names_behind(rollback.sides)[0] == rollback.old
    assert rollback.go_back("back") == rollback.old
    # Another DAG run does go forward. The first one, cleared, means what it meant.
    assert rollback.go_back("forward") == rollback.new
    assert rollback.go_back("forward") == rollback.new
    assert rollback.go_back("back") == rollback.old


@pytest.mark.parametrize("exchanged", [False, True], ids=["before the exchange", "after it"])
def test_a_rollback_that_is_killed_goes_back_when_it_is_tried_again(
    rollback: Rollback, monkeypatch: pytest.MonkeyPatch, exchanged: bool
) -> None:
    answer = Qdrant.call

    async def deadly(self: Qdrant, doing: str, *arguments: Any, **named: Any) -> Any:
        told = exchanged and await answer(self, doing, *arguments, **named)
        if doing.startswith("pointing the alias"):
            os.kill(os.getpid(), signal.SIGKILL)
        return told if exchanged else await answer(self, doing, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Qdrant, "call", deadly)
        process = in_process(lambda: rollback.go_back("back"))
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert names_behind(rollback.sides)[0] == (rollback.old if exchanged else rollback.new)
    assert rollback.go_back("back") == rollback.old


def test_rollbacks_without_a_dag_run_go_back_and_forward(rollback: Rollback) -> None:
    sides = rollback.sides
    for expected in (rollback.old, rollback.new):
        chosen = sides.chosen("full", rollback=True)
        asyncio.run(sync(sides.as_sync, sides.qdrant, sides.embedding, chosen, RunIdentity(uuid.uuid4())))
        assert names_behind(sides)[0] == expected


def test_an_ordinary_rollback_warns_of_no_restore(rollback: Rollback, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever published the other collection has forgotten the checkpoint of the one that it replaced."""
    assert [rollback.go_back(dag_run) for dag_run in ("back", "forward")] == [rollback.old, rollback.new]
    assert "knows of no sync" not in caplog.text


def test_going_back_by_correcting_the_connection(sides: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    sides.insert(rows(20))
    sides.sync("full")
    old, _ = names_behind(sides)
    sides.with_embedding(dimension=96).sync("full")
    result = sides.sync("full")
    assert (result.counts["unchanged"], result.counts["embedded_texts"]) == (20, 0)
    assert names_behind(sides)[0] == old
    assert "knows of no sync" not in caplog.text
    sides.assert_equal_sides()


def test_dry_run_of_a_model_change_creates_nothing(sides: TwoSides) -> None:
    sides.insert(rows(20))
    sides.sync("full")
    before = names_behind(sides)
    planned = sides.with_embedding(dimension=96).sync("full", dry_run=True)
    assert planned.counts["new"] == 20
    assert names_behind(sides) == before


def test_killed_at_any_point_the_old_alias_answers_and_a_new_run_finishes(sides: TwoSides) -> None:
    patterns = rows(120)
    sides.insert(patterns)
    sides.sync("full")
    other = sides.with_embedding(model="hashing-v2", dimension=96)
    instants = random.Random(3)
    for _ in range(12):
        process = in_process(lambda: other.sync("full", batch_size=4, delay_seconds=0.01, settled=False))
        time.sleep(instants.uniform(0.02, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        seen = {len(point["vector"]) for point in sides.points().values()}
        assert len(sides.points()) == 120
        assert seen in ({64}, {96})
    assert other.sync("full").parity == "proven"
    other.assert_equal_sides()


@pytest.mark.skipif(not os.environ.get("PATTERNS_TEST_QDRANT_URL"), reason="the embedded storage has one process")
def test_a_search_throughout_never_fails_and_never_sees_half(sides: TwoSides) -> None:
    sides.insert(rows(200))
    sides.sync("full")
    stop, answers, errors = threading.Event(), [], []

    async def search() -> None:
        client = await open_client(sides.qdrant)
        old, new = (open_embedder(b.embedding) for b in (sides, sides.with_embedding(dimension=96)))
        queries = {64: await old.embed_query("parse a date"), 96: await new.embed_query("parse a date")}
        size = 64
        while not stop.is_set():
            try:
                found = await client.query_points(sides.collection, query=queries[size].tolist(), limit=10)
            except Exception as error:
                # The swap changes the dimension between two searches; every other error is one.
                if size == 96 or "dimension" not in str(error).lower():
                    errors.append(error)
                size = 96
                continue
            count = (await client.count(sides.collection, exact=True)).count
            answers.append((size, len(found.points), count))
        await client.close()

    thread = threading.Thread(target=asyncio.run, args=(search(),))
    thread.start()
    sides.with_embedding(dimension=96).sync("full", batch_size=10, delay_seconds=0.02)
    time.sleep(0.2)
    stop.set()
    thread.join()
    assert errors == []
    assert {answer[1:] for answer in answers} == {(10, 200)}
    assert {answer[0] for answer in answers} == {64, 96}
