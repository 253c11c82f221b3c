"""### Quality scores for the patterns in Qdrant

Reads patterns from Qdrant, scores them in five dimensions and stores one score per pattern in PostgreSQL
(`pattern_quality_metrics`). `docs/quality.md` defines the numbers.

- **Schedule**: after every successful `pattern_sync_full`, through the asset `code_patterns`. Such a run reads every
  existing collection and scores the patterns that have no score of this version for their content. A manual run scores
  what its Params say.
- **Params**: an empty one falls back to its Variable, then to the default.
  - `dry_run`: score, but store nothing.
  - `collection`: default `archon_vectors`. `all` means `archon_vectors`, `quality_vectors`, `code_patterns`,
    `execution_patterns` and the collection that `patterns_collection` names, as far as they exist.
  - `only_missing`: leave out patterns that have a score of this version for their content.
  - `min_confidence`, `limit`: which patterns are read.
  - `onex_weight`: weight of ONEX compliance in the score, 0 to 1. Scores of two weights are not comparable.
  - `batch_size`, `delay_seconds`: how fast.
- **Connections**: `patterns_postgres`, `patterns_qdrant`.
- **Variables**: `quality_backfill_batch_size` (100), `quality_backfill_delay_seconds` (0.5), `quality_onex_weight`
  (0.2), `patterns_collection` (`code_patterns`), `patterns_patience_seconds` (300).
- **A re-run** scores again: it replaces the rows and adds none. If a run is killed, the next try starts over and ends
  with the same rows. Runs wait for each other.
- **When it fails**: the last lines of the task log say what is wrong and what to do. For "Run schema_migration first",
  run that DAG with `dry_run` off. For a collection that does not exist, the message names those that do. A score that
  the database refuses does not fail the run: the log counts it with the reason. A run that finds no pattern says why.
- **Asset**: a run that succeeds updates `pattern_quality_metrics`.
- **Afterwards**, in psql: `SELECT * FROM v_quality_distribution;` and `SELECT * FROM v_quality_worst_patterns LIMIT
  20;`.
"""

import sys
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG

# The operators of this very checkout: a DAG bundle from Git keeps several versions side by side.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))

from code_patterns.operators.dag_forms import backfill_form
from code_patterns.operators.quality_score import QualityScoreOperator
from code_patterns.operators.retries import OUTAGE_RETRIES
from code_patterns.operators.targets import targets
from code_patterns.operators.unknown_params import refuse_unknown_params

FORM = backfill_form()

for target in targets("quality_backfill", scored=True):
    with DAG(
        dag_id=target.named("quality_backfill"),
        description="Qdrant → PostgreSQL: a quality score for every pattern",
        doc_md=target.doc(__doc__),
        schedule=target.asset("code_patterns"),
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        tags=["code-patterns", "quality", "qdrant"],
        render_template_as_native_obj=True,
        default_args={
            "owner": "data-engineering",
            "pre_execute": refuse_unknown_params,
            **OUTAGE_RETRIES,
            "execution_timeout": timedelta(hours=24),
            **target.arguments,
        },
    ) as dag:
        QualityScoreOperator(
            task_id="score",
            collection="{{ params.collection }}",
            limit="{{ params.limit }}",
            min_confidence="{{ params.min_confidence }}",
            onex_weight="{{ params.onex_weight }}",
            batch_size="{{ params.batch_size }}",
            delay_seconds="{{ params.delay_seconds }}",
            dry_run_only="{{ params.dry_run }}",
            only_missing="{{ params.only_missing }}",
            max_active_tis_per_dag=1,
            outlets=[target.asset("pattern_quality_metrics")],
        )
    target.add_form(dag, FORM)
