"""How Airflow retries a task whose servers are down."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

OUTAGE_RETRIES: Mapping[str, Any] = {
    "retries": 5,
    "retry_delay": timedelta(minutes=2),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=20),
}
"""Waits of at least 2, 4, 8, 16 and 20 minutes, 50 in total. Each try also waits at its start. An error that a person
must remove is not retried. With ``max_active_runs=1`` the DAG starts no other run meanwhile."""
