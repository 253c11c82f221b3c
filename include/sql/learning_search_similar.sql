-- asyncpg: templates with words like those of a query, likest first. Conditions come in at the mark.
SELECT
    template.id,
    template.pattern_name,
    template.pattern_type,
    template.language,
    template.category,
    template.template_code,
    template.description,
    template.example_usage,
    template.source,
    template.confidence_score,
    template.usage_count,
    template.success_rate,
    template.complexity_score,
    template.maintainability_score,
    template.performance_score,
    template.parent_pattern_id,
    template.is_deprecated,
    template.deprecated_by_id,
    template.discovered_at,
    template.last_used_at,
    template.updated_at,
    template.created_by,
    template.tags,
    template.context::text AS context,
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
