-- asyncpg: use per day, week or month of UTC, of one template or of all; spans without use are rows of zero.
WITH bucket AS (
    SELECT
        generate_series(
            date_trunc($2::text, $3::timestamptz AT TIME ZONE 'UTC'),
            ($4::timestamptz - interval '1 microsecond') AT TIME ZONE 'UTC',
            ('1 ' || $2::text)::interval
        ) AS period
), usage AS (
    SELECT
        date_trunc($2::text, event.used_at AT TIME ZONE 'UTC') AS period,
        count(*) AS usage_count,
        count(*) FILTER (WHERE event.success) AS success_count,
        count(*) FILTER (WHERE NOT event.success) AS failure_count,
        avg(event.success::int)::double precision AS success_rate,
        avg(event.execution_time_ms)::double precision AS avg_execution_time_ms,
        avg(pattern_usage_averageable(event.quality_improvement))::double precision AS avg_quality_improvement
    FROM pattern_usage_events AS event
    WHERE
        ($1::uuid IS NULL OR event.pattern_id = $1::uuid)
        AND event.used_at >= $3::timestamptz
        AND event.used_at < $4::timestamptz
    GROUP BY 1
)

SELECT
    bucket.period AT TIME ZONE 'UTC' AS period,
    coalesce(usage.usage_count, 0) AS usage_count,
    coalesce(usage.success_count, 0) AS success_count,
    coalesce(usage.failure_count, 0) AS failure_count,
    usage.success_rate,
    usage.avg_execution_time_ms,
    usage.avg_quality_improvement
FROM bucket
LEFT JOIN usage ON usage.period = bucket.period
ORDER BY bucket.period;
