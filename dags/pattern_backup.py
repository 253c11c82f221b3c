"""### Backup of both sides

Makes a Qdrant snapshot of the collection that readers see, and shows the `pg_dump` command that belongs to it. Both
carry the same number: that of the progress token which both sides held. What to do with them: docs/restore.md.

- **Schedule**: none, and paused until a person unpauses it: a snapshot takes as much disk as the collection.
- **Params**: `collection`; `keep`: how many snapshots stay, the new one included. An empty one falls back to its
  Variable.
- **Connections**: `patterns_postgres`, `patterns_qdrant`; `patterns_embeddings` is read, and the server not asked.
- **Variables**: `pattern_backup_keep` (3), `patterns_collection` (`code_patterns`), `patterns_patience_seconds` (300).
- **What to do then**: run the two commands of the log's last lines, which are the XCom `summary` too. `dump` and
  `download` in the XCom `return_value` are the same. They hold no password: `pg_dump` asks for it or reads
  `~/.pgpass`, and `curl` takes the API key from `QDRANT_API_KEY`. Keep both files on another machine.
- **While it runs** it holds the collection's lock, so other runs wait until the snapshot is complete.
- **A re-run** makes another snapshot. Only snapshots that this DAG has made are ever deleted.
- **When it fails**: the last lines of the task log say what is wrong and what to do. "Hold no common progress" means
  that one side was restored, or that nothing was proven yet: run `pattern_sync_full` first. An embedded storage makes
  no snapshots, and a collection on several nodes of a cluster needs one of each: the message says what to do then.
"""

import sys
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.backup import PatternBackupOperator
from code_patterns.operators.dag_forms import backup_form
from code_patterns.operators.retries import OUTAGE_RETRIES
from code_patterns.operators.targets import limits, targets
from code_patterns.operators.unknown_params import refuse_unknown_params

FORM = backup_form()

for target in targets("pattern_backup"):
    with DAG(
        dag_id=target.named("pattern_backup"),
        description="A Qdrant snapshot and the matching pg_dump command, labelled with one number",
        doc_md=target.doc(__doc__),
        schedule=None,
        catchup=False,
        **limits(),
        max_active_runs=1,
        is_paused_upon_creation=True,
        tags=["code-patterns", "backup", "qdrant", "postgres"],
        render_template_as_native_obj=True,
        default_args={
            "owner": "data-engineering",
            "pre_execute": refuse_unknown_params,
            **OUTAGE_RETRIES,
            "execution_timeout": timedelta(hours=8),
            **target.arguments,
        },
    ) as dag:
        PatternBackupOperator(
            task_id="snapshot",
            collection="{{ params.collection }}",
            keep="{{ params.keep }}",
            max_active_tis_per_dag=1,
        )
    target.add_form(dag, FORM)
