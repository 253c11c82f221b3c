"""What works while nodes are down, and what waits."""

from dataclasses import replace

import pytest

from code_patterns.codes import Code
from code_patterns.errors import OutageError
from tests.integration.cluster.conftest import ClusteredSides
from tests.integration.cluster.nodes import Node
from tests.support.two_sides import rows


def a_holder(both: ClusteredSides, name: str) -> Node:
    """A node with shards that the connection does not name."""
    return next(node for node in both.cluster.nodes[1:] if node.ask(f"/collections/{name}/cluster")["local_shards"])


@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["REST", "gRPC"])
@pytest.mark.remedy(Code.REPLICAS_DIFFER)
def test_hourly_runs_go_on_without_a_node_and_the_proof_waits_for_it(
    clustered: ClusteredSides, prefer_grpc: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sides = clustered.sides
    sides.qdrant = replace(sides.qdrant, prefer_grpc=prefer_grpc)
    name = clustered.make_collection()
    new = rows(200)
    sides.insert(new)
    sides.sync("full")
    node = a_holder(clustered, name)
    node.kill()
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed' WHERE id = ANY(%s)", [[new[0]["id"]]])
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [[row["id"] for row in new[1:40]]])
    sides.insert(rows(50, 300))
    counts = sides.sync("incremental").counts
    assert (counts["new"], counts["deleted"], counts["parked"]) == (50, 39, 0)
    assert "Not every replica" in caplog.text
    sides.assert_equal_sides()
    for mode in ("full", "verify"):
        with pytest.raises(OutageError, match="Nothing is proven until all replicas of"):
            sides.sync(mode)
    clustered.cluster.heal(name)
    assert sides.sync("full").parity == "proven"
    assert sides.sync("verify").parity == "proven"
    clustered.assert_equal_replicas()


def test_a_single_node_of_three_writes_nothing_and_blames_no_row(clustered: ClusteredSides) -> None:
    name = clustered.make_collection()
    clustered.sides.insert(rows(50))
    clustered.sides.sync("full")
    for node in clustered.cluster.nodes[1:]:
        node.kill()
    clustered.sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed'")
    with pytest.raises(OutageError):
        clustered.sides.sync("incremental")
    clustered.cluster.heal(name)
    clustered.sides.sync("incremental")
    clustered.assert_equal_replicas()
