-- The code patterns with the lowest scores and those with the highest; a score that is no number is none.
WITH node AS NOT MATERIALIZED (
    SELECT
        id,
        pattern_name,
        file_path,
        coalesce(nullif(language, ''), nullif(pattern_data ->> 'language', '')) AS language
    FROM pattern_lineage_nodes
    WHERE
        pattern_type = 'code'
        /* filter */
),

scored AS (
    SELECT
        node.*,
        score.quality_score::float8 AS quality_score
    FROM pattern_quality_metrics AS score
    INNER JOIN node ON score.pattern_id = node.id
    WHERE score.quality_score::float8 > '-Infinity' AND score.quality_score::float8 < 'Infinity'
)

(SELECT 'worst' AS side, scored.* FROM scored ORDER BY quality_score, id LIMIT $1)
UNION ALL
(SELECT 'best' AS side, scored.* FROM scored ORDER BY quality_score DESC, id LIMIT $1);
