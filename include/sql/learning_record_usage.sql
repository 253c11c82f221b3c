-- asyncpg: record one use of a template; triggers update the template. Further columns come in at the marks.
INSERT INTO pattern_usage_events (pattern_id, correlation_id, success /* columns */)
VALUES ($1::uuid, $2::uuid, $3::boolean /* values */)
RETURNING id, pattern_id, used_at, quality_improvement;
