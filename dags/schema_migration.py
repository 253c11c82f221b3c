"""### Schema of the patterns database

Brings the PostgreSQL tables of this bundle to a version, forward or back: `plan` shows what would run with its SQL,
`apply` runs it, `verify` compares the database with the files and the expected schema. Existing tables are adopted
with their rows; the head of each file in `include/migrations` says what it leaves alone.

**Schedule**: none. Run it after a deployment that brings new migrations, and before the first sync.

**Params**: `dry_run` is on unless you switch it off: the run then ends after `plan`, and `apply` is skipped.
`direction` is `up` or `down`. `target` is the version to end at; left empty it means the newest. Going down needs it,
and 0 takes back everything: empty tables that migrations made are dropped, tables with rows stay.

**Connections**: `patterns_postgres`, with the owner of the tables as login. It must reach the server itself: a pooler
such as PgBouncer in transaction mode loses the lock that keeps two runs apart.
**Variables**: none.

**A re-run** finds what is applied already in the table `pattern_schema_migrations` and does the rest. A migration that
has lost something since, such as a trigger or an index, is applied again; the plan marks it with "(again)". Two runs at
the same time wait for one another. Killed in the middle of a file, nothing of that file remains; the one kind of file
that cannot run in a transaction (it builds an index without blocking writers) is cleaned up and repeated by the next
run.

**When it fails**: the last line of the task log names the file, the cause and the way out. Files before the failed one
stay applied, so remove the cause and trigger again; `apply` is never retried by itself. "Edited since they ran" means
that the bundle's files are not those that were applied: restore them. A rollback of 013 that meets scores without
lineage counts them and changes nothing.
"""

import sys
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.migration import PatternMigrationOperator

with DAG(
    dag_id="schema_migration",
    description="PostgreSQL: plan, apply and verify the migrations of the patterns database",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["code-patterns", "migration", "postgres"],
    render_template_as_native_obj=True,
    default_args={
        "owner": "data-engineering",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(minutes=10),
    },
    params={
        "direction": Param("up", type="string", enum=["up", "down"], description="Forward, or back"),
        "target": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            description="Version to end at; empty means the newest. Going down needs it; 0 takes back everything",
        ),
        "dry_run": Param(True, type="boolean", description="Only show the plan and its SQL"),
    },
):
    request = {
        "direction": "{{ params.direction }}",
        "target": "{{ params.target }}",
        "dry_run_only": "{{ params.dry_run }}",
    }
    plan = PatternMigrationOperator(task_id="plan", action="plan", **request)
    apply = PatternMigrationOperator(
        task_id="apply", action="apply", retries=0, execution_timeout=timedelta(hours=12), **request
    )
    verify = PatternMigrationOperator(task_id="verify", action="verify", **request)
    plan >> apply >> verify
