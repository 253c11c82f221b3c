"""Who may read the patterns: whoever may read the DAG that syncs them."""

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends

MAY_READ = Depends(requires_access_dag(method="GET", param_dag_id="pattern_sync_full"))
"""Airflow puts no authentication before an app of a plugin. Every route that answers with data depends on this."""
