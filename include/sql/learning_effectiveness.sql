-- asyncpg: how well a template has worked, over all its events.
SELECT
    template.id,
    template.pattern_name,
    template.pattern_type,
    template.confidence_score::double precision AS confidence_score,
    usage.total_usage,
    usage.successes,
    usage.failures,
    usage.success_rate,
    usage.avg_execution_time_ms,
    usage.avg_quality_improvement,
    -- As of a template's columns: null if Python has no such time.
    CASE
        WHEN usage.first_used >= '0001-01-01 00:00+00' AND usage.first_used < '10000-01-01 00:00+00' THEN usage.first_used
    END AS first_used,
    CASE
        WHEN usage.last_used >= '0001-01-01 00:00+00' AND usage.last_used < '10000-01-01 00:00+00' THEN usage.last_used
    END AS last_used
FROM pattern_templates AS template
CROSS JOIN LATERAL (
    SELECT
        count(*) AS total_usage,
        count(*) FILTER (WHERE event.success) AS successes,
        count(*) FILTER (WHERE NOT event.success) AS failures,
        avg(event.success::int)::double precision AS success_rate,
        avg(event.execution_time_ms)::double precision AS avg_execution_time_ms,
        avg(pattern_usage_averageable(event.quality_improvement))::double precision AS avg_quality_improvement,
        min(event.used_at) AS first_used,
        max(event.used_at) AS last_used
    FROM pattern_usage_events AS event
    WHERE event.pattern_id = template.id
) AS usage
WHERE template.id = $1::uuid;
