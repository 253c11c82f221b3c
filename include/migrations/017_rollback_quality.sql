-- 017 back: removes the backfill's run history and the two views. Scores stay.

DROP VIEW IF EXISTS v_quality_worst_patterns;
DROP VIEW IF EXISTS v_quality_distribution;
DROP FUNCTION IF EXISTS pattern_quality_dimension(jsonb, text);
DROP TABLE IF EXISTS pattern_quality_runs;
