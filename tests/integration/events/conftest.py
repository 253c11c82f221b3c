"""Both sides and Kafka, as several runs and processes reach them."""

import pytest

from code_patterns.servers.qdrant_config import QdrantConfig
from tests.support.brokers import Broker
from tests.support.faulty_qdrant import QdrantServer
from tests.support.two_sides import TwoSides


@pytest.fixture
def told(sides: TwoSides, qdrant_server: QdrantServer, broker: Broker) -> TwoSides:
    """Both sides, and Kafka that names rows and is told about points."""
    if not sides.qdrant.url:
        sides.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    sides.events = broker.both_ways()
    return sides
