-- asyncpg: the numbers a template carries about its use.
SELECT
    id,
    usage_count,
    success_rate,
    last_used_at,
    confidence_score
FROM pattern_templates
WHERE id = $1::uuid;
