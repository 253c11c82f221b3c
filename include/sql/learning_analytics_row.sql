-- asyncpg: one row of analytics.
SELECT
    id,
    period_start,
    period_end,
    pattern_id,
    total_usage_count,
    success_count,
    failure_count,
    success_count::double precision / nullif(success_count + failure_count, 0) AS success_rate,
    average_execution_time_ms::double precision,
    average_quality_improvement::double precision,
    top_patterns::text AS top_patterns,
    trend_direction,
    trend_strength::double precision,
    computed_at
FROM pattern_analytics
WHERE id = $1::uuid;
