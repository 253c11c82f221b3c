"""### Hourly sync of changed patterns

Syncs the code patterns that changed in PostgreSQL (`pattern_lineage_nodes`) since the last run to Qdrant, deletions
too.

- **Schedule**: every hour, UTC. A run takes everything that was committed since the last successful run, so the next
  run makes up for a missed hour. The first run on a new database or collection compares everything.
- **Params**: an empty one falls back to its Variable, then to the default.
  - `dry_run`, `limit`, `collection`, `batch_size`, `delay_seconds`.
  - `retry_dead_letters`: try all dead letters now, also those that still wait. A run with an interval refuses it.
  - `interval_start` and `interval_end`: sync the rows created or updated in `[start, end)` instead of what is new.
- **Intervals**: a run with both Params, each run of a backfill, and a manual run with a date or data interval of its
  own compare the rows of their interval with Qdrant and repair what differs. They do not move the watermark of the
  hourly runs. The Params beat the run's own interval; a backfill refuses them. Scheduled and manual runs go before
  those of a backfill.
- **Connections**: `patterns_postgres`, `patterns_qdrant`, `patterns_embeddings`.
- **Variables**: `pattern_sync_batch_size` (100), `pattern_sync_delay_seconds` (0), `patterns_collection`
  (`code_patterns`), `patterns_patience_seconds` (300).
- **Deadline**: if `PATTERNS_HOURLY_DEADLINE_MINUTES` is set in the environment, a run that is not done so many minutes
  after it was queued is named in the triggerer's log and in the UI, and counts in the metric
  `deadline_alerts.deadline_missed`. Runs of a backfill have no deadline.
- **Asset**: every successful run updates `code_patterns_changes`. The asset `code_patterns`, of `pattern_sync_full`,
  means that both sides are proven to agree.
- **A re-run** writes nothing for what is done. If a run is killed, the next try goes on from the last recorded batch.
  Runs of this DAG and of `pattern_sync_full` wait for each other.
- **When it fails**: the last lines of the task log say what is wrong and what to do. Airflow retries an outage, not a
  configuration error. For "Run schema_migration first", run that DAG with `dry_run` off. Rows that the embedding server
  or Qdrant refuse do not fail the run: they are parked in the table `pattern_sync_dead_letters` with their error. They
  are tried again after 1, 2, 4 hours and so on, at most 7 days, at once when the row changes, and by every full sync.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.dag_forms import sync_form
from code_patterns.operators.deadline import deadline_alert
from code_patterns.operators.priority import backfills_last
from code_patterns.operators.qdrant_upsert import QdrantUpsertOperator
from code_patterns.operators.retries import OUTAGE_RETRIES
from code_patterns.operators.targets import every, limits, targets
from code_patterns.operators.unknown_params import refuse_unknown_params

FORM = sync_form(
    "dry_run",
    "limit",
    "retry_dead_letters",
    "interval_start",
    "interval_end",
    "collection",
    "batch_size",
    "delay_seconds",
)

for target in targets("pattern_sync_incremental"):
    with DAG(
        dag_id=target.named("pattern_sync_incremental"),
        description="PostgreSQL → Qdrant: what changed since the last run",
        doc_md=target.doc(__doc__),
        schedule=every(target.schedules.incremental),
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        **limits(),
        max_active_runs=1,
        deadline=deadline_alert(os.environ.get("PATTERNS_HOURLY_DEADLINE_MINUTES")),
        tags=["code-patterns", "sync", "qdrant"],
        render_template_as_native_obj=True,
        default_args={
            "owner": "data-engineering",
            "pre_execute": refuse_unknown_params,
            **OUTAGE_RETRIES,
            "execution_timeout": timedelta(hours=6),
            **target.arguments,
        },
    ) as dag:
        QdrantUpsertOperator(
            task_id="sync",
            mode="incremental",
            batch_size="{{ params.batch_size }}",
            delay_seconds="{{ params.delay_seconds }}",
            limit="{{ params.limit }}",
            dry_run_only="{{ params.dry_run }}",
            collection="{{ params.collection }}",
            retry_dead_letters="{{ params.retry_dead_letters }}",
            interval_start="{{ params.interval_start }}",
            interval_end="{{ params.interval_end }}",
            # Backfills ignore max_active_runs; one task at a time keeps waiting runs from filling the workers.
            max_active_tis_per_dag=1,
            weight_rule=backfills_last(),
            outlets=[target.asset("code_patterns_changes")],
            cron=target.schedules.incremental,
        )
    target.add_form(dag, FORM)
