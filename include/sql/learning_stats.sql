-- asyncpg: the numbers a template carries about its use.
SELECT
    id,
    usage_count,
    success_rate::double precision AS success_rate,
    -- As of a template's columns: null if Python has no such time.
    CASE
        WHEN last_used_at >= '0001-01-01 00:00+00' AND last_used_at < '10000-01-01 00:00+00' THEN last_used_at
    END AS last_used_at,
    confidence_score::double precision AS confidence_score
FROM pattern_templates
WHERE id = $1::uuid;
