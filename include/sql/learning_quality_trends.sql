-- asyncpg: quality of one template per day, week or month of UTC; spans without use are rows of zero.
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
        count(pattern_usage_averageable(event.quality_improvement)) AS measured_count,
        avg(pattern_usage_averageable(event.quality_before))::double precision AS avg_quality_before,
        avg(pattern_usage_averageable(event.quality_after))::double precision AS avg_quality_after,
        avg(pattern_usage_averageable(event.quality_improvement))::double precision AS avg_quality_improvement,
        avg(event.success::int)::double precision AS success_rate
    FROM pattern_usage_events AS event
    WHERE
        event.pattern_id = $1::uuid
        AND event.used_at >= $3::timestamptz
        AND event.used_at < $4::timestamptz
    GROUP BY 1
)

SELECT
    template.id,
    template.pattern_name,
    template.pattern_type,
    bucket.period AT TIME ZONE 'UTC' AS period,
    bucket.period::date AS usage_date,
    coalesce(usage.usage_count, 0) AS usage_count,
    coalesce(usage.measured_count, 0) AS measured_count,
    usage.avg_quality_before,
    usage.avg_quality_after,
    usage.avg_quality_improvement,
    usage.success_rate
FROM bucket
LEFT JOIN usage ON usage.period = bucket.period
LEFT JOIN pattern_templates AS template ON template.id = $1::uuid
ORDER BY bucket.period;
