"""### Nightly full sync with proof

Compares every code pattern in PostgreSQL (`pattern_lineage_nodes`) with Qdrant, repairs what differs, deletes points
without a pattern, and proves that both sides agree. The task `verify` then compares whole payloads and vectors, as
`pattern_verify` does. What was kept for long enough is deleted by `pattern_maintenance`.

- **Schedule**: 02:00 UTC.
- **Params**: an empty one falls back to its Variable, then to the default.
  - `dry_run`, `collection`, `batch_size`, `delay_seconds`; `limit`: a run with a limit deletes and proves nothing, and
    is refused beside `allow_mass_delete`, `take_over` or `rollback`.
  - `allow_mass_delete`: this run may delete more than `pattern_sync_max_delete_fraction` of the points.
  - `take_over`: make a collection of another database this one's. `rollback` and `shards`: see below.
- **Connections**: `patterns_postgres`, `patterns_qdrant`, `patterns_embeddings`.
- **Variables**: `pattern_sync_batch_size` (100), `pattern_sync_delay_seconds` (0), `pattern_sync_max_delete_fraction`
  (0.2), `patterns_collection` (`code_patterns`), `patterns_patience_seconds` (300), `pattern_verify_nights` (1): nights
  in which `verify` reads every point whole once.
- **A change of model**, dimension, prefix or text recipe in `patterns_embeddings`: the run builds a second collection,
  proves it, and lets the alias name it. Hourly runs write the old one meanwhile, if its model is served too. The old
  collection is kept until `pattern_maintenance` deletes it. `rollback` brings it up to date, proves it and lets the
  alias name it again. Later runs stay there until the connection names another model, or until `rollback` is used
  again. Options of the collection that Qdrant cannot change in place, such as `shard_number`, are changed in the same
  way.
- **Shards**: with 50,000 patterns or more to write, `partition` cuts the ids into ranges and `shard` is mapped over
  them, so that several workers share the writing. `sync` does the rest. The Param `shards` sets the number, 1 means
  none. A shard that fails is retried alone. If it fails for good, `sync` does not run; the next run goes on there.
- **A re-run** writes nothing for what is done. If a run is killed, the next try compares again and goes on. Runs of
  this DAG and of `pattern_sync_incremental` wait for each other.
- **When it fails**: the last lines of the task log say what is wrong and what to do. For "Run schema_migration first",
  run that DAG with `dry_run` off. A refused mass delete means that PostgreSQL holds far fewer patterns than Qdrant:
  check that the connection names the right database before you allow it. Rows that cannot be synced do not fail the
  run: they are in the table `pattern_sync_dead_letters` with their error.
"""

import sys
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.dag_forms import sync_form
from code_patterns.operators.qdrant_partition import QdrantPartitionOperator
from code_patterns.operators.qdrant_upsert import QdrantUpsertOperator
from code_patterns.operators.retries import OUTAGE_RETRIES
from code_patterns.operators.targets import at, limits, targets
from code_patterns.operators.unknown_params import refuse_unknown_params

FORM = sync_form(
    "dry_run",
    "limit",
    "collection",
    "allow_mass_delete",
    "take_over",
    "rollback",
    "batch_size",
    "delay_seconds",
    "shards",
)

WITHOUT_SHARDS = {name: param for name, param in FORM.items() if name != "shards"}

for target in targets("pattern_sync_full"):
    with DAG(
        dag_id=target.named("pattern_sync_full"),
        description="PostgreSQL → Qdrant: compare everything, delete orphans, prove parity",
        doc_md=target.doc(__doc__),
        schedule=at(target.schedules.full),
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        **limits(),
        max_active_runs=1,
        tags=["code-patterns", "sync", "qdrant"],
        render_template_as_native_obj=True,
        default_args={
            "owner": "data-engineering",
            "pre_execute": refuse_unknown_params,
            **OUTAGE_RETRIES,
            "execution_timeout": timedelta(hours=24),
            **target.arguments,
            # Of the operators below each takes those that it knows.
            "batch_size": "{{ params.batch_size }}",
            "delay_seconds": "{{ params.delay_seconds }}",
            "limit": "{{ params.limit }}",
            "dry_run_only": "{{ params.dry_run }}",
            "collection": "{{ params.collection }}",
        },
    ) as dag:
        sync = QdrantUpsertOperator(
            task_id="sync",
            mode="full",
            rollback="{{ params.rollback }}",
            take_over="{{ params.take_over }}",
            allow_mass_delete="{{ params.allow_mass_delete }}",
            points_before="{{ ti.xcom_pull(task_ids='partition', key='points') }}",
            trigger_rule="none_failed",
            max_active_tis_per_dag=1,
        )
        # Skipped after a dry or limited run, which is nothing to build on.
        verify = QdrantUpsertOperator(
            task_id="verify", mode="verify", max_active_tis_per_dag=1, outlets=[target.asset("code_patterns")]
        )
        sync >> verify
        if target.has_shards:
            partition = QdrantPartitionOperator(
                task_id="partition",
                shards="{{ params.shards }}",
                rollback="{{ params.rollback }}",
                take_over="{{ params.take_over }}",
                max_active_tis_per_dag=1,
            )
            shard = QdrantUpsertOperator.partial(
                task_id="shard", mode="full", map_index_template="from {{ task.id_range['first'] }}"
            ).expand(id_range=partition.output)
            shard >> sync
    target.add_form(dag, FORM if target.has_shards else WITHOUT_SHARDS)
