"""Airflow connections, defined by their environment variables."""

import json
from typing import Any

import pytest

from code_patterns.servers.postgres import PostgresConfig


def set_connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: Any) -> None:
    """Define an Airflow connection."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


def set_postgres(monkeypatch: pytest.MonkeyPatch, config: PostgresConfig, **changes: Any) -> None:
    """Define ``patterns_postgres``.

    :param changes: fields that differ from the configuration
    """
    fields = {
        "conn_type": "postgres",
        "host": config.host,
        "port": config.port,
        "schema": config.database,
        "login": config.user,
        "password": config.password,
    }
    set_connection(monkeypatch, "patterns_postgres", **{**fields, **changes})
