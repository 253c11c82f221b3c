-- asyncpg: templates that meet conditions, the most trusted first. Columns and conditions come in at the marks.
SELECT template.id /* template columns */
FROM pattern_templates AS template
WHERE /* conditions */ true
ORDER BY
    template.confidence_score DESC NULLS LAST,
    template.usage_count DESC NULLS LAST,
    template.pattern_name,
    template.id
LIMIT $1::bigint OFFSET $2::bigint;
