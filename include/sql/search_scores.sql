-- The current scores of patterns that a search found; an older table may hold them as numeric.
SELECT
    pattern_id,
    quality_score::float8 AS quality_score,
    confidence::float8 AS confidence
FROM pattern_quality_metrics
WHERE pattern_id = any($1::uuid []);
