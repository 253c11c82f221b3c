"""Airflow connections, defined by their environment variables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from code_patterns.servers.postgres import PostgresConfig
from tests.support.two_sides import TwoSides


def connections_of(sides: TwoSides) -> dict[str, str]:
    """The environment variables that name both sides: three connections and the collection's Variable."""
    qdrant = {"path": sides.qdrant.path} if sides.qdrant.path else {"url": sides.qdrant.url}
    embedding = {"api": "hashing", "dimension": sides.embedding.dimension}
    return {
        **_postgres(sides.as_sync),
        **_variable("patterns_qdrant", conn_type="qdrant", extra=qdrant, password=sides.qdrant.api_key),
        **_variable("patterns_embeddings", conn_type="embedding", extra=embedding),
        "AIRFLOW_VAR_PATTERNS_COLLECTION": sides.collection,
    }


def set_connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: Any) -> None:
    """Define an Airflow connection."""
    for name, value in _variable(conn_id, **fields).items():
        monkeypatch.setenv(name, value)


def set_postgres(monkeypatch: pytest.MonkeyPatch, config: PostgresConfig, **changes: Any) -> None:
    """Define ``patterns_postgres``.

    :param changes: fields that differ from the configuration
    """
    for name, value in _postgres(config, **changes).items():
        monkeypatch.setenv(name, value)


def targets_file(folder: Path, *targets: Mapping[str, Any]) -> dict[str, str]:
    """Write a targets file; the environment variable that names it."""
    path = folder / "targets.yaml"
    path.write_text(yaml.safe_dump(list(targets)))
    return {"PATTERNS_TARGETS": str(path)}


def _postgres(config: PostgresConfig, **changes: Any) -> dict[str, str]:
    fields = {
        "conn_type": "postgres",
        "host": config.host,
        "port": config.port,
        "schema": config.database,
        "login": config.user,
        "password": config.password,
    }
    return _variable("patterns_postgres", **{**fields, **changes})


def _variable(conn_id: str, **fields: Any) -> dict[str, str]:
    return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields)}
