"""How often Airflow tries a task again whose servers are down."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

OUTAGE_RETRIES: Mapping[str, Any] = {
    "retries": 5,
    "retry_delay": timedelta(minutes=2),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=20),
}
"""Waits of 2, 4, 8, 16 and 20 minutes at least, 50 in all, beside what each try waits itself; what a person must change
fails at once. A DAG with ``max_active_runs=1`` starts no other run meanwhile."""
