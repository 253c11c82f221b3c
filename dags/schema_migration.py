"""### Schema of the patterns database

Migrates the PostgreSQL tables of this bundle to a version, forward or back. `plan` shows what would run, with its
SQL, what is left as it is, and what forbids it. `apply` runs it. `verify` compares the database with the files and the
expected schema. Existing tables are adopted as they are, and others may use them meanwhile (`docs/adopt.md`).

- **Schedule**: none. Run it before the first sync, and after a deployment with new migrations.
- **Params**:
  - `dry_run`: on by default. The run shows the plan and skips `apply`.
  - `direction`: `up` or `down`.
  - `target`: the version to end at; empty means the newest. `down` needs it. 0 removes everything: empty tables that
    migrations made are dropped, tables with rows stay.
- **Connections**: `patterns_postgres`, with the owner of the tables as login. Connect to the server itself: a pooler
  such as PgBouncer is refused.
- **Variables**: none.
- **A re-run** reads in the table `pattern_schema_migrations` what is applied, and does the rest. A migration that has
  lost something since, such as a trigger or an index, is applied again; the plan marks it with "(again)". Two runs at
  the same time wait for each other. If a run is killed or told to stop in the middle of a file, the next run goes on
  with it.
- **When it fails**: the last lines of the task log name the file, the cause and what to do. "Cannot be migrated as it
  is" means that nothing was changed; the message says what to mend. Otherwise files before the failed one
  stay applied. Remove the cause and trigger the DAG again; Airflow never retries `apply`. For "Edited since they ran",
  restore the files that were applied. A rollback of 013 changes nothing while scores without lineage exist; it says how
  many there are.
"""

import sys
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.dag_forms import migration_form
from code_patterns.operators.migration import PatternMigrationOperator
from code_patterns.operators.targets import add_form, databases
from code_patterns.operators.unknown_params import refuse_unknown_params

FORM = migration_form()

for database in databases():
    with DAG(
        dag_id=database.dag_id,
        description="PostgreSQL: plan, apply and verify the migrations of the patterns database",
        doc_md=database.doc(__doc__),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["code-patterns", "migration", "postgres"],
        render_template_as_native_obj=True,
        default_args={
            "owner": "data-engineering",
            "pre_execute": refuse_unknown_params,
            "retries": 2,
            "retry_delay": timedelta(seconds=30),
            "execution_timeout": timedelta(minutes=10),
            **database.arguments,
        },
    ) as dag:
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
    add_form(dag, FORM)
