"""Both sides of the sync as fixtures, for integration and DAG tests alike."""

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from code_patterns.servers.qdrant import open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from tests.conftest import config_of
from tests.support import brokers
from tests.support.brokers import Broker
from tests.support.faulty_qdrant import QdrantServer, running
from tests.support.learning_database import LearningDatabase
from tests.support.roles import SYNC
from tests.support.two_sides import TwoSides


@pytest.fixture
def qdrant(tmp_path: Path) -> QdrantConfig:
    """The server that PATTERNS_TEST_QDRANT_URL names, or an embedded storage."""
    url = os.environ.get("PATTERNS_TEST_QDRANT_URL", "")
    return QdrantConfig(
        conn_id="patterns_qdrant",
        url=url,
        api_key=os.environ.get("PATTERNS_TEST_QDRANT_API_KEY"),
        grpc_port=int(os.environ.get("PATTERNS_TEST_QDRANT_GRPC_PORT") or 6334),
        path="" if url else str(tmp_path / "qdrant"),
    )


@pytest.fixture
def sides(migrated_database: str, qdrant: QdrantConfig) -> Iterator[TwoSides]:
    """A migrated, empty database and a collection name of this test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    config = config_of(migrated_database)
    yield TwoSides(config, qdrant, name, administrator=config.user)
    if qdrant.url:
        asyncio.run(drop_collections(qdrant, name))


@pytest.fixture
def qdrant_server() -> Iterator[QdrantServer]:
    """A Qdrant over HTTP that several processes reach, and that misbehaves on demand."""
    with running() as server:
        yield server


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A Kafka cluster with topics and a group of this test's own."""
    with brokers.running() as running_broker:
        yield running_broker


@pytest.fixture
def served(sides: TwoSides, qdrant_server: QdrantServer) -> TwoSides:
    """Both sides with a Qdrant that several runs and a test reach at the same time."""
    if not sides.qdrant.url:
        sides.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    return sides


@pytest.fixture
def learning(migrated_database: str) -> LearningDatabase:
    """A migrated, empty database under the storage layer."""
    return LearningDatabase(migrated_database, SYNC)


async def drop_collections(qdrant: QdrantConfig, prefix: str) -> None:
    """Delete the collections whose names begin so."""
    client = await open_client(qdrant)
    try:
        for item in (await client.get_collections()).collections:
            if item.name.startswith(prefix):
                await client.delete_collection(item.name)
    finally:
        await client.close()
