-- asyncpg: templates related to one, the strongest relationships first. Conditions on them come in at the mark.
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
    relationship.id AS relationship_id,
    relationship.relationship_type,
    relationship.strength,
    relationship.description AS relationship_description
FROM pattern_relationships AS relationship
JOIN pattern_templates AS template ON template.id = relationship.target_pattern_id
WHERE relationship.source_pattern_id = $3::uuid AND /* conditions */ true
ORDER BY
    relationship.strength DESC NULLS LAST,
    template.confidence_score DESC NULLS LAST,
    template.pattern_name,
    relationship.id
LIMIT $1::bigint OFFSET $2::bigint;
