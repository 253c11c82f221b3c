"""Nodes are killed and come back while the sync works: nothing is lost, and nothing is proven that is not so.

``PATTERNS_CLUSTER_ROUNDS`` repeats each pair of an event and a phase at other moments. Each round prints a line.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from code_patterns.errors import PatternsError
from code_patterns.sync.sync_result import SyncResult
from tests.integration.cluster.conftest import ClusteredSides
from tests.integration.cluster.nodes import Node
from tests.support.running_stream import RunningStream
from tests.support.two_sides import TwoSides, rows

ROUNDS = int(os.environ.get("PATTERNS_CLUSTER_ROUNDS", "1"))
ROWS = 400
SLOWLY: dict[str, Any] = {"batch_size": 10, "delay_seconds": 0.03}
"""A run long enough to be hit in the middle."""
LONGEST = 240.0

Event = Callable[[ClusteredSides, random.Random], None]


def the_own_node(both: ClusteredSides, chosen: random.Random) -> None:
    """Kill the node that the connection names."""
    _kill(both, [both.cluster.nodes[0]], chosen)


def another_node(both: ClusteredSides, chosen: random.Random) -> None:
    """Kill a node that the connection does not name."""
    _kill(both, [chosen.choice(both.cluster.nodes[1:])], chosen)


def the_leader(both: ClusteredSides, chosen: random.Random) -> None:
    """Kill the node that leads the cluster."""
    _kill(both, [both.cluster.leader()], chosen)


def two_of_three(both: ClusteredSides, chosen: random.Random) -> None:
    """Kill two nodes: the third one knows no leader."""
    _kill(both, chosen.sample(both.cluster.nodes, 2), chosen)


def a_transfer(both: ClusteredSides, chosen: random.Random) -> None:
    """Move a shard to another node, and kill one of the two nodes meanwhile."""
    collection = both.sides.with_client(lambda client: client.get_collections()).collections
    name = chosen.choice([item.name for item in collection if item.name.startswith(both.sides.collection)])
    found = both.cluster.nodes[0].ask(f"/collections/{name}/cluster")
    peers = {node.peer for node in both.cluster.nodes}
    holders = {(shard["shard_id"], found["peer_id"]) for shard in found["local_shards"]}
    holders |= {(shard["shard_id"], shard["peer_id"]) for shard in found["remote_shards"]}
    shard, source = chosen.choice(sorted(holders))
    [target] = peers - {peer for held, peer in holders if held == shard}
    both.cluster.nodes[0].tell(
        f"/collections/{name}/cluster",
        {"move_shard": {"shard_id": shard, "from_peer_id": source, "to_peer_id": target}},
    )
    time.sleep(chosen.uniform(0, 0.3))
    _kill(both, [both.cluster.by_peer(chosen.choice([source, target]))], chosen)


def _kill(both: ClusteredSides, nodes: list[Node], chosen: random.Random) -> None:
    for node in nodes:
        node.kill()
    time.sleep(chosen.choice([0.0, 1.0, 4.0]))
    for node in nodes:
        node.start()


@contextmanager
def meanwhile(both: ClusteredSides, event: Event, chosen: random.Random, within: float) -> Iterator[None]:
    """Let something happen at some moment of what runs here; it is over at the end."""
    failed: list[BaseException] = []

    def happen() -> None:
        time.sleep(chosen.uniform(0, within))
        try:
            event(both, chosen)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=happen)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failed, failed


class Tries:
    """Tries again what an outage ended, as Airflow does, and only what Airflow would."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def until_done(self, attempt: Callable[[], SyncResult]) -> SyncResult:
        deadline = time.monotonic() + LONGEST
        while True:
            try:
                return attempt()
            except PatternsError as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                if not error.may_be_retried(1):
                    raise
                assert time.monotonic() < deadline, self.errors
                time.sleep(1)


def change_some(sides: TwoSides, chosen: random.Random) -> None:
    """Insert, change and delete patterns."""
    sides.insert({**row, "pattern_id": str(row["id"])} for row in rows(60, chosen.randrange(400, 800)))
    sides.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = jsonb_set(pattern_data, '{code}', to_jsonb(%s::text || id)) "
        "WHERE id IN (SELECT id FROM pattern_lineage_nodes ORDER BY random() LIMIT 60)",
        [f"changed = {chosen.random()}  # "],
    )
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE left(id::text, 1) = '7'")
    some = "SELECT id FROM pattern_lineage_nodes ORDER BY random() LIMIT 60"
    sides.execute(f"DELETE FROM pattern_lineage_nodes WHERE id IN ({some})")


def first_sync(both: ClusteredSides, event: Event, chosen: random.Random, tries: Tries) -> None:
    """The first full sync."""
    both.sides.insert(rows(ROWS))
    with meanwhile(both, event, chosen, 2.5):
        result = tries.until_done(lambda: both.sides.sync("full", **SLOWLY))
    assert result.parity == "proven"


def hourly_run(both: ClusteredSides, event: Event, chosen: random.Random, tries: Tries) -> None:
    """An incremental run."""
    _synced(both)
    change_some(both.sides, chosen)
    with meanwhile(both, event, chosen, 1.5):
        tries.until_done(lambda: both.sides.sync("incremental", **SLOWLY))


def stream(both: ClusteredSides, event: Event, chosen: random.Random, tries: Tries) -> None:
    """The stream, which is started again where it ends."""
    _synced(both)

    def until_equal() -> SyncResult:
        running = RunningStream(both.sides, batch_size=10, linger_seconds=3.0)
        running.join()
        return both.sides.sync("incremental", dry_run=True)

    with meanwhile(both, event, chosen, 2.5), meanwhile(both, writing, chosen, 0):
        tries.until_done(until_equal)
    if tries.errors:
        tries.until_done(until_equal)


def writing(both: ClusteredSides, chosen: random.Random) -> None:
    """Change patterns several times."""
    for _ in range(3):
        change_some(both.sides, chosen)
        time.sleep(0.7)


def verify(both: ClusteredSides, event: Event, chosen: random.Random, tries: Tries) -> None:
    """The verification: it finds what is wrong, and proves what is right."""
    _synced(both)
    with meanwhile(both, event, chosen, 0.5):
        for _ in range(3):
            assert tries.until_done(lambda: both.sides.sync("verify")).parity == "proven"


def alias_swap(both: ClusteredSides, event: Event, chosen: random.Random, tries: Tries) -> None:
    """A new model: a second collection is built, and the alias is moved to it."""
    _synced(both)
    both.sides = both.sides.with_embedding(document_prefix="new: ")
    second = both.make_collection()
    with meanwhile(both, event, chosen, 3.0):
        result = tries.until_done(lambda: both.sides.sync("full", **SLOWLY))
    assert result.parity == "proven"
    both.cluster.heal(second)
    for node in both.cluster.nodes:
        assert {"alias_name": both.sides.collection, "collection_name": second} in node.ask("/aliases")["aliases"]


def _synced(both: ClusteredSides) -> None:
    both.sides.insert(rows(ROWS))
    assert both.sides.sync("full").parity == "proven"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("attempt", range(ROUNDS))
@pytest.mark.parametrize("event", [the_own_node, another_node, the_leader, two_of_three, a_transfer])
@pytest.mark.parametrize("phase", [first_sync, hourly_run, stream, verify, alias_swap])
def test_nothing_is_lost_when(
    phase: Callable[[ClusteredSides, Event, random.Random, Tries], None],
    event: Event,
    attempt: int,
    clustered: ClusteredSides,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = random.Random(random.randrange(10**9))
    over = chosen.choice(["REST", "gRPC"])
    clustered.sides.qdrant = replace(clustered.sides.qdrant, prefer_grpc=over == "gRPC")
    first = clustered.make_collection()
    tries = Tries()
    started = time.monotonic()
    happened = []

    def noted(both: ClusteredSides, chosen: random.Random) -> None:
        happened.append(time.monotonic())
        event(both, chosen)

    outcome = "failed"
    try:
        phase(clustered, noted, chosen, tries)
        clustered.cluster.heal(first)
        clustered.assert_equal_replicas()
        outcome = "equal"
    finally:
        seconds = time.monotonic() - (happened[0] if happened else started)
        with capsys.disabled():
            print(
                f"\n| {event.__name__} | {phase.__name__} | {over} | {outcome} | {seconds:.1f} | {len(tries.errors)} |",
                *{error[:400] for error in tries.errors},
                sep="\n    ",
            )
    assert clustered.sides.sync("full").parity == "proven"
