-- asyncpg: compute the rows of a period for every template used in it, as compute_pattern_analytics does for one.
-- Rows of the period that are there already are computed anew, also where the template is no longer used in it.
-- Returns how many rows were written.
WITH usage AS (
    SELECT
        event.pattern_id,
        count(*) FILTER (WHERE event.used_at >= $1::timestamptz) AS total,
        count(*) FILTER (WHERE event.used_at < $1::timestamptz) AS previous,
        count(*) FILTER (WHERE event.success AND event.used_at >= $1::timestamptz) AS successes,
        count(*) FILTER (WHERE NOT event.success AND event.used_at >= $1::timestamptz) AS failures,
        avg(event.success::int) FILTER (WHERE event.used_at >= $1::timestamptz)::double precision AS success_rate,
        avg(event.execution_time_ms) FILTER (WHERE event.used_at >= $1::timestamptz)::double precision
            AS execution_time_ms,
        avg(pattern_usage_averageable(event.quality_improvement)) FILTER (
            WHERE event.used_at >= $1::timestamptz
        )::double precision AS quality_improvement
    FROM pattern_usage_events AS event
    WHERE
        event.used_at >= $1::timestamptz - ($2::timestamptz - $1::timestamptz)
        AND event.used_at < $2::timestamptz
    GROUP BY event.pattern_id
), wanted AS (
    SELECT usage.pattern_id
    FROM usage
    WHERE usage.total > 0
    UNION
    SELECT analytics.pattern_id
    FROM pattern_analytics AS analytics
    WHERE
        analytics.period_start = $1::timestamptz
        AND analytics.period_end = $2::timestamptz
        AND analytics.pattern_id IS NOT NULL
), compared AS (
    SELECT
        template.id AS pattern_id,
        template.pattern_name,
        coalesce(usage.total, 0) AS total,
        coalesce(usage.previous, 0) AS previous,
        coalesce(usage.successes, 0) AS successes,
        coalesce(usage.failures, 0) AS failures,
        usage.success_rate,
        usage.execution_time_ms,
        usage.quality_improvement,
        coalesce(
            abs(usage.total - usage.previous)::double precision / nullif(greatest(usage.total, usage.previous), 0), 0
        ) AS strength
    FROM wanted
    JOIN pattern_templates AS template ON template.id = wanted.pattern_id
    LEFT JOIN usage ON usage.pattern_id = wanted.pattern_id
), written AS (
    INSERT INTO pattern_analytics (
        period_start, period_end, pattern_id, total_usage_count, success_count, failure_count,
        average_execution_time_ms, average_quality_improvement, top_patterns, trend_direction, trend_strength, computed_at
    )
    SELECT
        $1::timestamptz,
        $2::timestamptz,
        compared.pattern_id,
        compared.total,
        compared.successes,
        compared.failures,
        compared.execution_time_ms,
        compared.quality_improvement,
        CASE
            WHEN compared.total = 0 THEN '[]'::jsonb
            ELSE jsonb_build_array(jsonb_build_object(
                'pattern_id', compared.pattern_id,
                'pattern_name', compared.pattern_name,
                'usage_count', compared.total,
                'success_rate', compared.success_rate,
                'avg_quality_improvement', compared.quality_improvement
            ))
        END,
        CASE
            WHEN compared.strength < 0.05 THEN 'stable'
            WHEN compared.total > compared.previous THEN 'increasing'
            ELSE 'decreasing'
        END,
        compared.strength,
        now()
    FROM compared
    -- In order, so that two runs for one period wait for one another instead of deadlocking.
    ORDER BY compared.pattern_id
    ON CONFLICT (period_start, period_end, pattern_id) DO UPDATE SET
        total_usage_count = excluded.total_usage_count,
        success_count = excluded.success_count,
        failure_count = excluded.failure_count,
        average_execution_time_ms = excluded.average_execution_time_ms,
        average_quality_improvement = excluded.average_quality_improvement,
        top_patterns = excluded.top_patterns,
        trend_direction = excluded.trend_direction,
        trend_strength = excluded.trend_strength,
        computed_at = excluded.computed_at
    RETURNING 1
)

SELECT count(*) FROM written;
