"""### Weekly maintenance

Deletes what was kept for long enough, on both sides, and looks at the tables: unused room, dead rows, indexes that are
missing or not valid. It repairs nothing in PostgreSQL by itself: it names the statement to run.

- **Schedule**: Sundays at 05:00 UTC; none for a target whose full sync has none.
- **Params**: `dry_run` counts what would be deleted and deletes nothing. It is off in the form, as in a scheduled run.
  `collection`: old collections of this name are deleted.
- **Tasks**: `prune`: runs in the histories, tombstones, checkpoints of collections that are gone, parked rows (dead
  letters) that no longer exist, old collections, and dangling ones, which a killed run has left unfinished.
  `prune_traces`: traces of the storage layer. `tables`: the report.
- **Connections**: `patterns_postgres`, `patterns_qdrant`.
- **Variables**: how many days are kept, 0 for ever: `pattern_run_retention_days` (90),
  `pattern_tombstone_retention_days` (30), `pattern_collection_retention_days` (30), `pattern_trace_retention_days`
  (90); `patterns_collection` (`code_patterns`), `patterns_patience_seconds` (300).
- **What it did** is the last line of each task's log, and its XCom `summary`: counts, and the names of collections.
- **A re-run** finds nothing more to delete. A collection that a run works on stays.
- **When it fails**: the last lines of the task log say what is wrong and what to do. What was deleted until then stays
  deleted; the syncs go on. For "Run schema_migration first", run that DAG with `dry_run` off.
"""

import sys
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.dag_forms import maintenance_form
from code_patterns.operators.retention import PatternPruneOperator
from code_patterns.operators.retries import OUTAGE_RETRIES
from code_patterns.operators.table_health import PatternTableHealthOperator
from code_patterns.operators.targets import at, limits, targets
from code_patterns.operators.unknown_params import refuse_unknown_params
from pattern_learning.operators.analytics import PatternTracePruneOperator

FORM = maintenance_form()

for target in targets("pattern_maintenance"):
    with DAG(
        dag_id=target.named("pattern_maintenance"),
        description="Delete what was kept for long enough; report unused room and missing indexes",
        doc_md=target.doc(__doc__),
        schedule=at("0 5 * * 0" if target.schedules.full else None),
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        **limits(),
        max_active_runs=1,
        tags=["code-patterns", "maintenance", "qdrant", "postgres"],
        render_template_as_native_obj=True,
        default_args={
            "owner": "data-engineering",
            "pre_execute": refuse_unknown_params,
            **OUTAGE_RETRIES,
            "execution_timeout": timedelta(hours=6),
            **target.arguments,
            # Of the operators below each takes those that it knows.
            "dry_run_only": "{{ params.dry_run }}",
            "max_active_tis_per_dag": 1,
        },
    ) as dag:
        # None waits for another: the run fails if one of them does, and the others are done all the same.
        PatternPruneOperator(task_id="prune", collection="{{ params.collection }}")
        PatternTracePruneOperator(task_id="prune_traces")
        PatternTableHealthOperator(task_id="tables")
    target.add_form(dag, FORM)
