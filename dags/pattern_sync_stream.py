"""### Stream: a committed pattern can be found in a third of a second

Syncs code patterns from PostgreSQL (`pattern_lineage_nodes`) to Qdrant as they are committed, deletions too. It is the
engine of the hourly run, kept running. The hourly and nightly runs go on beside it and find nothing to do.

- **Off until you unpause it.** It costs a task slot while it works, a trigger in the triggerer, four short queries a
  second on PostgreSQL while it is up, and two a second while it is not.
- **Schedule**: none of hours. A watcher in the triggerer starts it when changes wait and no stream is up. It is there
  about half a minute after unpausing. By hand works too. A second stream for the same collection is skipped.
- **End**: when nothing has changed for 10 minutes, or after an hour. The next change starts it again.
- **Params**: an empty one falls back to its Variable, then to the default.
  - `linger_seconds`, `max_minutes`, `collection`, `poll_milliseconds`, `batch_size`.
- **Connections**: `patterns_postgres`, `patterns_qdrant`, `patterns_embeddings`.
- **Variables**: `pattern_stream_linger_seconds` (600), `pattern_stream_max_minutes` (60),
  `pattern_stream_poll_milliseconds` (250), `pattern_sync_batch_size` (100), `patterns_collection` (`code_patterns`),
  `patterns_patience_seconds` (300).
- **Other runs come first**: it holds the lock of the collection only while it writes, and stands back when another run
  waits for it. It needs a free task slot outside a pool of one.
- **Old transactions**: rows behind a transaction that stays open, of another database too, are written at once. The
  watermark waits, so nothing is missed.
- **After a restore**, an exchanged collection or lost triggers it ends, says why, and starts `pattern_sync_full`. It
  starts again when that run has compared everything.
- **A re-run** writes nothing for what is done. If the task is killed, the watcher starts another one within seconds.
- **When it fails**: the last lines of the task log say what is wrong and what to do. It is not retried: the watcher
  starts it again, less often while that changes nothing. What it does not take, the hourly run takes.
"""

import sys
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.comparison import ComparisonOperator
from code_patterns.operators.dag_forms import stream_form
from code_patterns.operators.stream import PatternStreamOperator
from code_patterns.operators.targets import limits, targets
from code_patterns.operators.unknown_params import refuse_unknown_params
from code_patterns.triggers.unattended import PatternsUnattendedTrigger

FORM = stream_form()

for target in targets("pattern_sync_stream"):
    watched = target.named("code_patterns_unattended")
    trigger = PatternsUnattendedTrigger(target.connections.postgres, target.collection, target.sync_target.name)
    with DAG(
        dag_id=target.named("pattern_sync_stream"),
        description="PostgreSQL → Qdrant: changes as they are committed",
        doc_md=target.doc(__doc__),
        schedule=[Asset(watched, watchers=[AssetWatcher(name=watched, trigger=trigger)])],
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        **limits(),
        is_paused_upon_creation=True,
        # Airflow notices only after minutes that a worker was killed. The next stream starts beside the dead run.
        max_active_runs=3,
        tags=["code-patterns", "sync", "qdrant", "stream"],
        render_template_as_native_obj=True,
        default_args={
            "owner": "data-engineering",
            "pre_execute": refuse_unknown_params,
            # The watcher starts the next one.
            "retries": 0,
            "execution_timeout": timedelta(hours=25),
            **target.arguments,
            "pool": target.stream_pool,
        },
    ) as dag:
        stream = PatternStreamOperator(
            task_id="stream",
            linger_seconds="{{ params.linger_seconds }}",
            max_minutes="{{ params.max_minutes }}",
            poll_milliseconds="{{ params.poll_milliseconds }}",
            collection="{{ params.collection }}",
            batch_size="{{ params.batch_size }}",
            outlets=[target.asset("code_patterns_changes")],
        )
        compare = ComparisonOperator(
            task_id="compare",
            needed="{{ ti.xcom_pull(task_ids='stream')['comparison_needed'] }}",
            trigger_dag_id=target.named("pattern_sync_full"),
            conf={"collection": "{{ params.collection }}"},
            note="{{ 'A stream ended: ' ~ ti.xcom_pull(task_ids='stream')['ended'] }}",
            retries=3,
        )
        stream >> compare
    target.add_form(dag, FORM)
