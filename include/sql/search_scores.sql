-- The current scores of patterns that a search found.
SELECT
    pattern_id,
    quality_score,
    confidence
FROM pattern_quality_metrics
WHERE pattern_id = any($1::uuid []);
