"""### Daily analytics of template use

Computes the usage events of a day (UTC) into the table `pattern_analytics`: one row over all templates, and one for
each template used that day. A row holds counts, success rate, averages, top templates, and the trend against the day
before. Old traces of the storage layer are deleted by `pattern_maintenance`.

- **Schedule**: every day at 00:00 UTC, for the day that has just ended.
- **Params**: `day` of UTC to compute instead of the run's data interval. A manual run without `day` and without a data
  interval computes yesterday.
- **Backfill**: computes each of its days as a daily run does, from the events that exist now. Use it if events of past
  days were recorded late.
- **Connections**: `patterns_postgres`.
- **Variables**: `patterns_patience_seconds` (300): how long a try waits for a server that is down.
- **A re-run** replaces the rows of its day and adds none. If a run is killed, the day's rows stay as they were.
- **When it fails**: the last lines of the task log say what is wrong and what to do. Airflow retries an outage for 50
  minutes or more, not a configuration error. For "Run schema_migration first", run that DAG with `dry_run` off. If a
  template is deleted while its row is written, the try fails and the next one succeeds.
"""

import sys
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG, CronDataIntervalTimetable

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.retries import OUTAGE_RETRIES
from code_patterns.operators.unknown_params import refuse_unknown_params
from pattern_learning.operators.analytics import PatternAnalyticsOperator
from pattern_learning.operators.form import analytics_form

with DAG(
    dag_id="pattern_analytics",
    description="Usage events of a day → analytics of every template used",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["code-patterns", "analytics", "postgres"],
    render_template_as_native_obj=True,
    default_args={
        "owner": "data-engineering",
        "pre_execute": refuse_unknown_params,
        **OUTAGE_RETRIES,
        "execution_timeout": timedelta(hours=2),
    },
    params=analytics_form(),
):
    PatternAnalyticsOperator(task_id="compute", day="{{ params.day }}")
