-- asyncpg: templates related to one, the strongest relationships first. Columns and conditions come
-- in at the marks.
SELECT
    template.id /* template columns */,
    relationship.id AS relationship_id,
    relationship.relationship_type,
    relationship.strength::double precision AS strength,
    relationship.description AS relationship_description
FROM pattern_template_relationships AS relationship
JOIN pattern_templates AS template ON template.id = relationship.target_pattern_id
WHERE relationship.source_pattern_id = $3::uuid AND /* conditions */ true
ORDER BY
    relationship.strength DESC NULLS LAST,
    template.confidence_score DESC NULLS LAST,
    template.pattern_name,
    relationship.id
LIMIT $1::bigint OFFSET $2::bigint;
