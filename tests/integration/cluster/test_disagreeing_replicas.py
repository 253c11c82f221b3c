"""Replicas that hold different points, as a node leaves them that is killed in the middle of a write."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import grpc.aio
import pytest
from google.protobuf.message import Message
from qdrant_client import grpc as api

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, ParityError
from tests.integration.cluster.conftest import ClusteredSides
from tests.integration.cluster.nodes import WAIT_SECONDS, Node
from tests.integration.sync.test_curated_keys import CURATED, curate, keys_of_others
from tests.support.two_sides import rows


def holders(both: ClusteredSides, collection: str) -> list[Node]:
    """The nodes that hold a replica."""
    return [node for node in both.cluster.nodes if node.ask(f"/collections/{collection}/cluster")["local_shards"]]


def points_of(node: Node, collection: str) -> int:
    """How many points the node's replica of the only shard holds."""
    [shard] = node.ask(f"/collections/{collection}/cluster")["local_shards"]
    return int(shard["points_count"])


def on_one_replica(both: ClusteredSides, collection: str, method: str, request: Message) -> None:
    """Let one of both replicas of the only shard do an operation that the other one never sees.

    Nodes send each other operations so: the request as its first field, the shard as the second.
    """
    encoded = request.SerializeToString()
    length, rest = b"", len(encoded)
    while rest >= 0x80:
        length, rest = length + bytes([rest & 0x7F | 0x80]), rest >> 7
    body = b"\x0a" + length + bytes([rest]) + encoded + b"\x10\x00"
    node = random.choice(holders(both, collection))
    address = urlsplit(node.ask("/cluster")["peers"][str(node.peer)]["uri"]).netloc

    async def send() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            await channel.unary_unary(f"/qdrant.PointsInternal/{method}")(body, timeout=20)

    asyncio.run(send())


def stored(both: ClusteredSides, ids: Sequence[Any]) -> list[api.PointStruct]:
    """Points as they are, to be written again."""

    async def read(client: Any) -> list[api.PointStruct]:
        answer = await client.grpc_points.Get(
            api.GetPoints(
                collection_name=both.sides.collection,
                ids=[api.PointId(uuid=str(node_id)) for node_id in ids],
                with_payload=api.WithPayloadSelector(enable=True),
                with_vectors=api.WithVectorsSelector(enable=True),
            )
        )
        return [
            api.PointStruct(
                id=point.id,
                payload=point.payload,
                vectors=api.Vectors(
                    vectors=api.NamedVectors(
                        vectors={
                            name: api.Vector(dense=vector.dense)
                            if vector.HasField("dense")
                            else api.Vector(sparse=vector.sparse)
                            for name, vector in point.vectors.vectors.vectors.items()
                        }
                    )
                ),
            )
            for point in answer.result
        ]

    return both.sides.with_client(read)  # type: ignore[no-any-return]


def lost_halfway(both: ClusteredSides, name: str, ids: Sequence[Any]) -> None:
    """Delete points on one replica."""
    points = api.PointsSelector(points=api.PointsIdsList(ids=[api.PointId(uuid=str(node_id)) for node_id in ids]))
    on_one_replica(both, name, "Delete", api.DeletePoints(collection_name=name, wait=True, points=points))


def written_halfway(both: ClusteredSides, name: str, points: Sequence[api.PointStruct]) -> None:
    """Write points on one replica."""
    on_one_replica(both, name, "Upsert", api.UpsertPoints(collection_name=name, wait=True, points=points))


@pytest.fixture
def over(clustered: ClusteredSides) -> ClusteredSides:
    """Over REST or gRPC, as it happens."""
    prefer_grpc = random.random() < 0.5
    clustered.sides.qdrant = replace(clustered.sides.qdrant, prefer_grpc=prefer_grpc)
    return clustered


@pytest.mark.parametrize("node", range(3))
def test_points_that_one_replica_lacks_are_not_proven_and_come_back(over: ClusteredSides, node: int) -> None:
    name = over.make_collection(shards=1)
    new = rows(300)
    over.sides.insert(new)
    over.sides.sync("full")
    over.sides.qdrant = replace(over.cluster.nodes[node].config, prefer_grpc=over.sides.qdrant.prefer_grpc)
    lost_halfway(over, name, [row["id"] for row in new[:120]])
    with pytest.raises((ConfigurationError, ParityError)):
        over.sides.sync("verify")
    result = over.sides.sync("full")
    assert (result.counts["new"], result.parity) == (120, "proven")
    over.assert_equal_replicas()


def test_points_that_one_replica_has_older_are_not_proven_and_are_written_again(over: ClusteredSides) -> None:
    name = over.make_collection(shards=1)
    new = rows(300)
    over.sides.insert(new)
    over.sides.sync("full")
    curate(over.sides, [row["id"] for row in new])
    some = sorted(row["id"] for row in new)[:120]
    before = stored(over, some)
    over.sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE id = ANY(%s)", [some])
    over.sides.sync("incremental")
    written_halfway(over, name, before)
    with pytest.raises((ConfigurationError, ParityError)):
        over.sides.sync("verify")
    assert over.sides.sync("full").parity == "proven"
    over.assert_equal_replicas()
    assert keys_of_others(over.sides) == {row["id"]: CURATED for row in new}


def test_an_hourly_run_writes_again_what_reached_one_replica(over: ClusteredSides) -> None:
    name = over.make_collection(shards=1)
    new = rows(200)
    over.sides.insert(new)
    over.sides.sync("full")
    some = sorted(row["id"] for row in new)[:50]
    before = stored(over, some)
    over.sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE id = ANY(%s)", [some])
    over.sides.sync("incremental")
    # The watermark of a run whose write failed has not moved.
    over.sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed ' WHERE id = ANY(%s)", [some])
    over.sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE id = ANY(%s)", [some])
    written_halfway(over, name, before)
    over.sides.sync("incremental")
    over.assert_equal_replicas()


@pytest.mark.remedy(Code.REPLICAS_DIFFER)
def test_a_deletion_that_reached_one_replica_is_done_again(over: ClusteredSides) -> None:
    name = over.make_collection(shards=1)
    new = rows(200)
    over.sides.insert(new)
    over.sides.sync("full")
    first, second = [row["id"] for row in new[:30]], [row["id"] for row in new[30:60]]
    over.sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [first])
    lost_halfway(over, name, first)
    over.sides.sync("incremental")
    over.assert_equal_replicas()
    over.sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [second])
    lost_halfway(over, name, second)
    with pytest.raises(ParityError, match="different numbers of points"):
        over.sides.sync("verify")
    assert over.sides.sync("full").parity == "proven"
    over.assert_equal_replicas()


@pytest.mark.remedy(Code.REPLICAS_DIFFER)
def test_a_replica_is_dropped_and_made_again(over: ClusteredSides) -> None:
    name = over.make_collection(shards=1)
    new = rows(200)
    over.sides.insert(new)
    over.sides.sync("full")
    lost_halfway(over, name, [row["id"] for row in new[:30]])
    with pytest.raises(ParityError, match=r"drop one replica of each shard in Qdrant \(drop_replica\)"):
        over.sides.sync("verify")
    short, whole = sorted(holders(over, name), key=lambda node: points_of(node, name))
    assert (points_of(short, name), points_of(whole, name)) == (170, 200)
    ours, theirs = whole.peer, short.peer
    path = f"/collections/{name}/cluster"
    whole.tell(path, {"drop_replica": {"shard_id": 0, "peer_id": theirs}})
    over.cluster.heal(name)
    assert holders(over, name) == [whole]
    whole.tell(path, {"replicate_shard": {"shard_id": 0, "from_peer_id": ours, "to_peer_id": theirs}})
    deadline = time.monotonic() + WAIT_SECONDS
    while len(holders(over, name)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    over.cluster.heal(name)
    assert over.sides.sync("verify").parity == "proven"
    over.assert_equal_replicas()
