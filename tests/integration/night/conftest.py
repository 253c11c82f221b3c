"""One whole Airflow for all tests of this room: starting it takes a good part of their time."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from code_patterns.servers.qdrant_config import QdrantConfig
from tests.conftest import config_of, embedded_postgres, new_database
from tests.integration.night.whole_airflow import WholeAirflow, whole_airflow
from tests.support.connections import connections_of
from tests.support.faulty_qdrant import QdrantServer, running
from tests.support.fixtures import drop_collections
from tests.support.leaks import LEAKS
from tests.support.learning_database import LearningDatabase
from tests.support.two_sides import TwoSides, rows

DAGS = {
    "schema_migration",
    "pattern_sync_full",
    "pattern_sync_incremental",
    "pattern_sync_stream",
    "pattern_verify",
    "quality_backfill",
    "pattern_analytics",
    "pattern_backup",
    "pattern_maintenance",
}


@dataclass(frozen=True)
class Night:
    """What the tests of a night have: Airflow, both sides, the server between them, the storage layer."""

    airflow: WholeAirflow
    sides: TwoSides
    qdrant: QdrantServer
    learning: LearningDatabase


@pytest.fixture(scope="module")
def night(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A whole Airflow beside a new database that its own DAG has migrated, with 200 patterns in it."""
    home: Path = tmp_path_factory.mktemp("night")
    # Airflow has a server of its own: its transactions would hold back the horizon of the sync.
    with running() as qdrant, new_database(postgres_server) as dsn, embedded_postgres() as metadata:
        target = QdrantConfig(conn_id="patterns_qdrant", url=qdrant.url)
        sides = TwoSides(config_of(dsn), target, f"test_{uuid.uuid4().hex[:12]}")
        environment = connections_of(sides) | {
            "AIRFLOW_VAR_QUALITY_BACKFILL_DELAY_SECONDS": "0",
            "AIRFLOW_VAR_PATTERNS_PATIENCE_SECONDS": "1",
            "PATTERNS_HOURLY_DEADLINE_MINUTES": "50",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        }
        with whole_airflow(home, metadata, environment) as airflow:
            airflow.ready(DAGS)
            airflow.trigger("schema_migration", dry_run=False)
            airflow.succeeded("schema_migration")
            sides.insert(rows(200))
            yield Night(airflow, sides, qdrant, LearningDatabase(dsn))
        asyncio.run(drop_collections(target, sides.collection))
        LEAKS.look_at_folder(home)
