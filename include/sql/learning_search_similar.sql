-- asyncpg: templates with words like those of a query, the most similar first. Columns and conditions come in at the
-- marks.
SELECT
    template.id /* template columns */,
    (0.3 * alike.similarity)::double precision AS relevance
FROM pattern_search_similar($3::text) AS alike
JOIN pattern_templates AS template ON template.id = alike.pattern_id
WHERE /* conditions */ true
ORDER BY
    alike.similarity DESC,
    template.confidence_score DESC NULLS LAST,
    template.usage_count DESC NULLS LAST,
    template.pattern_name,
    template.id
LIMIT $1::bigint OFFSET $2::bigint;
