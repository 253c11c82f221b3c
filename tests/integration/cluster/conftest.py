"""A real cluster of three nodes, which the tests kill and start again."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.sync.pattern import identity_of
from tests.conftest import config_of
from tests.integration.cluster.nodes import Cluster
from tests.support.fixtures import drop_collections
from tests.support.two_sides import TwoSides

URLS = os.environ.get("PATTERNS_TEST_QDRANT_CLUSTER", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a cluster there is nothing to kill."""
    without = pytest.mark.skip(reason="PATTERNS_TEST_QDRANT_CLUSTER does not name the URLs of three Qdrant nodes")
    for item in items:
        if not URLS and "integration/cluster/" in item.path.as_posix():
            item.add_marker(without)


@dataclass
class ClusteredSides:
    """Both sides, where each shard of the collection has two replicas.

    :param sides: both sides; the connection names the first node
    :param cluster: the nodes
    """

    sides: TwoSides
    cluster: Cluster

    def make_collection(self, shards: int = 3) -> str:
        """Make the collection that the next full sync adopts behind the alias, empty; return its name."""
        recipe = identity_of(self.sides.embedding).encode()
        name = f"{self.sides.collection}__{hashlib.blake2b(recipe, digest_size=4).hexdigest()}"
        size = self.sides.embedding.dimension

        async def make(client: AsyncQdrantClient) -> None:
            await client.create_collection(
                name,
                vectors_config=models.VectorParams(size=size, distance=models.Distance.COSINE),
                shard_number=shards,
                replication_factor=2,
            )

        self.sides.with_client(make)
        self.cluster.heal(name)
        return name

    def assert_equal_replicas(self) -> None:
        """Every replica holds what PostgreSQL holds: a node answers from its own replicas where it has any."""
        for node in self.cluster.nodes:
            replace(self.sides, qdrant=node.config).assert_equal_sides()
        assert self.sides.execute("SELECT * FROM pattern_sync_dead_letters") == []


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that PATTERNS_TEST_QDRANT_CLUSTER names."""
    found = Cluster.named(URLS)
    assert len(found.nodes) == 3, "PATTERNS_TEST_QDRANT_CLUSTER must name three URLs, separated by commas"
    yield found
    found.heal()


@pytest.fixture
def clustered(migrated_database: str, cluster: Cluster) -> Iterator[ClusteredSides]:
    """A migrated, empty database and a name for a collection of this test's own."""
    cluster.heal()
    sides = TwoSides(config_of(migrated_database), cluster.nodes[0].config, f"test_{uuid.uuid4().hex[:12]}")
    yield ClusteredSides(sides, cluster)
    cluster.heal()
    asyncio.run(drop_collections(sides.qdrant, sides.collection))
