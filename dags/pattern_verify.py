"""### Verification of every point

Compares whole rows with whole points, vectors too, on its own database session. It finds what hashes cannot show: a
deleted point, a changed payload or a zeroed vector in Qdrant, a row that changed while the triggers were disabled, a
point without a pattern. The nightly `pattern_sync_full` ends with the same task; this DAG runs it alone.

- **Schedule**: none. It reads all vectors, many times the bytes of a sync with nothing to do. The log says how long it
  took.
- **Params**: `heal` writes exactly the wrong points again, then deletes points without a pattern, within the limit of
  `pattern_sync_max_delete_fraction` unless `allow_mass_delete` is set. With `nights` at 7, the run reads the seventh of
  the points whole that has waited longest, and compares the others by the digests of their rows and hashes. An empty
  Param falls back to its Variable.
- **Connections**: `patterns_postgres`, `patterns_qdrant`, `patterns_embeddings`.
- **Variables**: `patterns_collection` (`code_patterns`), `pattern_sync_max_delete_fraction` (0.2),
  `pattern_sync_batch_size` (100), `pattern_verify_nights` (1), `patterns_patience_seconds` (300).
- **A re-run** compares again; a try after a kill goes on where that one was. Rows that changed after the last sync are
  not wrong: the next sync takes them. Dead letters are not wrong either.
- **When it fails**: the message counts what is wrong and names examples; the log names up to 200 points of each kind.
  Find out who else writes to the collection, then run it with `heal`. "Run pattern_sync_full first" means that there
  was no sync yet.
"""

import sys
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.dag_forms import sync_form
from code_patterns.operators.qdrant_upsert import QdrantUpsertOperator
from code_patterns.operators.retries import OUTAGE_RETRIES
from code_patterns.operators.targets import limits, targets
from code_patterns.operators.unknown_params import refuse_unknown_params

FORM = sync_form("heal", "allow_mass_delete", "nights", "collection")

for target in targets("pattern_verify"):
    with DAG(
        dag_id=target.named("pattern_verify"),
        description="PostgreSQL ↔ Qdrant: read both sides whole, name what differs, heal it on demand",
        doc_md=target.doc(__doc__),
        schedule=None,
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
        },
    ) as dag:
        QdrantUpsertOperator(
            task_id="verify",
            mode="verify",
            heal="{{ params.heal }}",
            nights="{{ params.nights }}",
            allow_mass_delete="{{ params.allow_mass_delete }}",
            collection="{{ params.collection }}",
            max_active_tis_per_dag=1,
        )
    target.add_form(dag, FORM)
