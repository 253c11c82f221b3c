-- The code patterns with the lowest scores and those with the highest.
WITH scored AS (
    SELECT
        node.id,
        node.pattern_name,
        node.file_path,
        node.language,
        score.quality_score::float8 AS quality_score
    FROM pattern_quality_metrics AS score
    INNER JOIN pattern_lineage_nodes AS node ON score.pattern_id = node.id
    WHERE node.pattern_type = 'code'
)

(SELECT 'worst' AS side, scored.* FROM scored ORDER BY quality_score, id LIMIT $1)
UNION ALL
(SELECT 'best' AS side, scored.* FROM scored ORDER BY quality_score DESC, id LIMIT $1);
