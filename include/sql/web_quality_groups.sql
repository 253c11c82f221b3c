-- How many code patterns of each language have a score of each tier; without a tier where they have none. As in payloads,
-- what a row says about its code beats what pattern_data says. A score that is no number is none.
SELECT
    node.language,
    CASE
        WHEN score.quality_score >= 0.9 THEN 'excellent'
        WHEN score.quality_score >= 0.7 THEN 'good'
        WHEN score.quality_score >= 0.5 THEN 'fair'
        WHEN score.quality_score IS NOT NULL THEN 'poor'
    END AS tier,
    count(*) AS patterns,
    sum(score.quality_score) AS total
FROM (
    SELECT
        id,
        coalesce(nullif(language, ''), nullif(pattern_data ->> 'language', ''), 'unknown') AS language
    FROM pattern_lineage_nodes
    WHERE
        pattern_type = 'code'
        /* filter */
) AS node
LEFT JOIN (
    SELECT
        pattern_id,
        quality_score::float8 AS quality_score
    FROM pattern_quality_metrics
    WHERE quality_score::float8 > '-Infinity' AND quality_score::float8 < 'Infinity'
) AS score ON node.id = score.pattern_id
GROUP BY 1, 2;
