-- asyncpg: record one use of a template; triggers update the template. Further columns come in at the marks.
-- A repeat after a lost answer finds the event, and counts nothing.
WITH recorded AS (
    INSERT INTO pattern_usage_events (id, pattern_id, correlation_id, success /* columns */)
    VALUES ($1::uuid, $2::uuid, $3::uuid, $4::boolean /* values */)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, pattern_id, used_at, quality_improvement::double precision AS quality_improvement
)

SELECT id, pattern_id, used_at, quality_improvement
FROM recorded
UNION ALL
SELECT
    id,
    pattern_id,
    -- As of a template's columns: null if Python has no such time.
    CASE WHEN used_at >= '0001-01-01 00:00+00' AND used_at < '10000-01-01 00:00+00' THEN used_at END,
    quality_improvement::double precision
FROM pattern_usage_events
WHERE id = $1::uuid AND pattern_id = $2::uuid AND NOT EXISTS (SELECT FROM recorded);
