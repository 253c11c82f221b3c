-- asyncpg: one template.
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
WHERE template.id = $1::uuid;
