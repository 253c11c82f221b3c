-- How many code patterns of each language have a score of each tier; without a tier where they have none.
SELECT
    coalesce(nullif(node.language, ''), 'unknown') AS language,
    CASE
        WHEN score.quality_score >= 0.9 THEN 'excellent'
        WHEN score.quality_score >= 0.7 THEN 'good'
        WHEN score.quality_score >= 0.5 THEN 'fair'
        WHEN score.quality_score IS NOT NULL THEN 'poor'
    END AS tier,
    count(*) AS patterns,
    sum(score.quality_score)::float8 AS total
FROM (
    SELECT id, language
    FROM pattern_lineage_nodes
    WHERE
        pattern_type = 'code'
        /* filter */
) AS node
LEFT JOIN pattern_quality_metrics AS score ON node.id = score.pattern_id
GROUP BY 1, 2;
