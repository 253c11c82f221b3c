"""### Quality scores for the patterns in Qdrant

Reads patterns from Qdrant, scores them in five dimensions and stores one current score per pattern in PostgreSQL
(`pattern_quality_metrics`). What the numbers mean is defined in `docs/quality.md`.

**Schedule**: after every successful `pattern_sync_full`, by the asset `code_patterns`. Such a run takes every
collection that exists and scores what has no score of this version for its content. By hand, it scores what the Params
say.

**Params**: `collection` (`archon_vectors` when left empty; `all` means those of `archon_vectors`, `quality_vectors`,
`code_patterns` and `execution_patterns` that exist, and the one that `patterns_collection` names), `limit`,
`min_confidence`, `batch_size`, `delay_seconds`, `dry_run`, and `only_missing`, which leaves out patterns that have a
score of this version for this content. One that is left empty falls back to its Variable, then to the default.

**Connections**: `patterns_postgres`, `patterns_qdrant`.
**Variables**: `quality_backfill_batch_size` (100), `quality_backfill_delay_seconds` (0.5), `patterns_collection`
(`code_patterns`), `patterns_patience_seconds` (300).

**A re-run** measures again: the same rows with a newer timestamp, never a second one. Killed at any moment, the next
try starts over and ends with the same rows. Runs wait for each other.

**When it fails**: the last line of the task log says what is wrong and what to do. "Run schema_migration first" means
just that. A collection that does not exist is an error that names those that do. A score that the database refuses does
not fail the run: it is counted with its reason. A run that finds no pattern says so in words.

**Asset**: a run that succeeds updates `pattern_quality_metrics`.

**Afterwards**, in psql: `SELECT * FROM v_quality_distribution;` and `SELECT * FROM v_quality_worst_patterns LIMIT 20;`.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.quality_score import QualityScoreOperator
from code_patterns.operators.retries import OUTAGE_RETRIES

with DAG(
    dag_id="quality_backfill",
    description="Qdrant → PostgreSQL: a quality score for every pattern",
    doc_md=__doc__,
    schedule=Asset("code_patterns"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["code-patterns", "quality", "qdrant"],
    render_template_as_native_obj=True,
    default_args={
        "owner": "data-engineering",
        **OUTAGE_RETRIES,
        "execution_timeout": timedelta(hours=24),
    },
    params={
        "collection": Param(None, type=["null", "string"], description="Collection or alias in Qdrant, or all"),
        "limit": Param(None, type=["null", "integer"], minimum=1, description="Most points to look at"),
        "min_confidence": Param(
            None, type=["null", "number"], minimum=0, maximum=1, description="Leave out points below this confidence"
        ),
        "batch_size": Param(None, type=["null", "integer"], minimum=1, description="Points scored and stored together"),
        "delay_seconds": Param(None, type=["null", "number"], minimum=0, description="Pause between batches, seconds"),
        "dry_run": Param(False, type="boolean", description="Score and report, store nothing"),
        "only_missing": Param(
            None, type=["null", "boolean"], description="Leave out what has a score of this version for this content"
        ),
    },
):
    QualityScoreOperator(
        task_id="score",
        collection="{{ params.collection }}",
        limit="{{ params.limit }}",
        min_confidence="{{ params.min_confidence }}",
        batch_size="{{ params.batch_size }}",
        delay_seconds="{{ params.delay_seconds }}",
        dry_run_only="{{ params.dry_run }}",
        only_missing="{{ params.only_missing }}",
        max_active_tis_per_dag=1,
        outlets=[Asset("pattern_quality_metrics")],
        pool=os.environ.get("PATTERNS_POOL", "default_pool"),
    )
