-- How many scores there are, and for how many patterns.
SELECT
    count(*),
    count(DISTINCT pattern_id)
FROM pattern_quality_metrics;
