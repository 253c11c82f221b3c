-- asyncpg: templates that meet conditions, which come in at the mark; the most trusted first.
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
    template.context::text AS context
FROM pattern_templates AS template
WHERE /* conditions */ true
ORDER BY
    template.confidence_score DESC NULLS LAST,
    template.usage_count DESC NULLS LAST,
    template.pattern_name,
    template.id
LIMIT $1::bigint OFFSET $2::bigint;
