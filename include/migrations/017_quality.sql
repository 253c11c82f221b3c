-- 017: what the quality backfill needs: its run history, and two views for people with psql.
--
-- Leaves pattern_quality_metrics and its rows alone. Scores of other writers appear in the views too; a metadata value
-- that is no number, or one that double precision cannot hold, is shown as NULL.

CREATE TABLE IF NOT EXISTS pattern_quality_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'abandoned')),
    version text NOT NULL,
    collections text[] NOT NULL,
    dag_id text,
    dag_run_id text,
    task_try int,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    found bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    scored bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    excellent bigint NOT NULL DEFAULT 0,
    good bigint NOT NULL DEFAULT 0,
    fair bigint NOT NULL DEFAULT 0,
    poor bigint NOT NULL DEFAULT 0,
    average_score double precision,
    details jsonb NOT NULL DEFAULT '{}',
    note text,
    error text
);
CREATE INDEX IF NOT EXISTS pattern_quality_runs_started_at_idx ON pattern_quality_runs (started_at);
COMMENT ON TABLE pattern_quality_runs IS 'History of the quality backfill: one row per run.';
COMMENT ON COLUMN pattern_quality_runs.id IS 'Identity of the run.';
COMMENT ON COLUMN pattern_quality_runs.status IS 'running, succeeded, failed, or abandoned (its process died).';
COMMENT ON COLUMN pattern_quality_runs.version IS 'Version of the definitions it scored by.';
COMMENT ON COLUMN pattern_quality_runs.collections IS 'Qdrant collections it read.';
COMMENT ON COLUMN pattern_quality_runs.dag_id IS 'Airflow DAG.';
COMMENT ON COLUMN pattern_quality_runs.dag_run_id IS 'Airflow DAG run.';
COMMENT ON COLUMN pattern_quality_runs.task_try IS 'Airflow try number of the task.';
COMMENT ON COLUMN pattern_quality_runs.started_at IS 'Start of the run.';
COMMENT ON COLUMN pattern_quality_runs.finished_at IS 'End of the run; NULL while it runs.';
COMMENT ON COLUMN pattern_quality_runs.found IS 'Points looked at.';
COMMENT ON COLUMN pattern_quality_runs.skipped IS 'Points that had a score of this version for this content.';
COMMENT ON COLUMN pattern_quality_runs.scored IS 'Points scored.';
COMMENT ON COLUMN pattern_quality_runs.stored IS 'Scores written; fewer than scored where points share an id, or failed.';
COMMENT ON COLUMN pattern_quality_runs.failed IS 'Scores the database refused.';
COMMENT ON COLUMN pattern_quality_runs.excellent IS 'Points scored 0.9 or more.';
COMMENT ON COLUMN pattern_quality_runs.good IS 'Points scored 0.7 or more, below 0.9.';
COMMENT ON COLUMN pattern_quality_runs.fair IS 'Points scored 0.5 or more, below 0.7.';
COMMENT ON COLUMN pattern_quality_runs.poor IS 'Points scored below 0.5.';
COMMENT ON COLUMN pattern_quality_runs.average_score IS 'Mean composite; NULL where nothing was scored.';
COMMENT ON COLUMN pattern_quality_runs.details IS 'Counts per collection, averages per tier and dimension, failures with their reasons.';
COMMENT ON COLUMN pattern_quality_runs.note IS 'What a person should know although the run succeeded.';
COMMENT ON COLUMN pattern_quality_runs.error IS 'Why the run failed.';

CREATE OR REPLACE VIEW v_quality_distribution AS
SELECT
    tiers.tier,
    count(score.id) AS patterns,
    round(count(score.id) / greatest(sum(count(score.id)) OVER (), 1), 4)::double precision AS share,
    avg(score.quality_score) AS average_score,
    avg(score.confidence) AS average_confidence,
    min(score.measurement_timestamp) AS oldest_measurement,
    max(score.measurement_timestamp) AS newest_measurement
FROM (VALUES
    ('excellent', 0.9, 'infinity'::double precision),
    ('good', 0.7, 0.9),
    ('fair', 0.5, 0.7),
    ('poor', '-infinity'::double precision, 0.5)
) AS tiers (tier, least, below)
LEFT JOIN pattern_quality_metrics AS score
    ON score.quality_score >= tiers.least AND score.quality_score < tiers.below
GROUP BY tiers.tier, tiers.least
ORDER BY tiers.least DESC;
COMMENT ON VIEW v_quality_distribution IS 'Current scores by tier, best first; every tier has a row. Created by migration 017.';

CREATE OR REPLACE FUNCTION pattern_quality_dimension(metadata jsonb, name text) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    -- Between the limits of double precision, which refuses a number that is too large, and one too close to 0.
    SELECT round(
        jsonb_path_query_first($1 -> ($2 || '_score'), 'strict $ ? (@ > -1e308 && @ < 1e308)', silent => true)::numeric, 300
    )::double precision
$function$;
COMMENT ON FUNCTION pattern_quality_dimension(jsonb, text) IS
    'The score of a dimension in the metadata of a score; NULL where it is no number that double precision can hold.';

CREATE OR REPLACE VIEW v_quality_worst_patterns AS
SELECT
    score.pattern_id,
    coalesce(score.metadata ->> 'pattern_name', node.pattern_name) AS pattern_name,
    coalesce(score.metadata ->> 'collection', '-') AS collection,
    coalesce(score.metadata ->> 'language', node.language) AS language,
    score.quality_score,
    CASE
        WHEN score.quality_score >= 0.9 THEN 'excellent'
        WHEN score.quality_score >= 0.7 THEN 'good'
        WHEN score.quality_score >= 0.5 THEN 'fair'
        ELSE 'poor'
    END AS tier,
    pattern_quality_dimension(score.metadata::jsonb, 'completeness') AS completeness,
    pattern_quality_dimension(score.metadata::jsonb, 'documentation') AS documentation,
    pattern_quality_dimension(score.metadata::jsonb, 'onex_compliance') AS onex_compliance,
    pattern_quality_dimension(score.metadata::jsonb, 'metadata_richness') AS metadata_richness,
    pattern_quality_dimension(score.metadata::jsonb, 'complexity') AS complexity,
    score.metadata ->> 'fallback_reason' AS fallback_reason,
    score.version,
    score.measurement_timestamp
FROM pattern_quality_metrics AS score
LEFT JOIN pattern_lineage_nodes AS node ON node.id = score.pattern_id
ORDER BY score.quality_score, score.pattern_id;
COMMENT ON VIEW v_quality_worst_patterns IS 'Current scores with their dimensions, worst first; use it with LIMIT. Created by migration 017.';
