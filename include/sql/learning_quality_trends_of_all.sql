-- asyncpg: quality of every template per day, week or month of UTC, the newest first; only spans with use, and at most
-- as many rows as parameter 4 says.
SELECT
    template.id,
    template.pattern_name,
    template.pattern_type,
    usage.period AT TIME ZONE 'UTC' AS period,
    usage.period::date AS usage_date,
    usage.usage_count,
    usage.measured_count,
    usage.avg_quality_before,
    usage.avg_quality_after,
    usage.avg_quality_improvement,
    usage.success_rate
FROM (
    SELECT
        event.pattern_id,
        date_trunc($1::text, event.used_at AT TIME ZONE 'UTC') AS period,
        count(*) AS usage_count,
        count(pattern_usage_averageable(event.quality_improvement)) AS measured_count,
        avg(pattern_usage_averageable(event.quality_before))::double precision AS avg_quality_before,
        avg(pattern_usage_averageable(event.quality_after))::double precision AS avg_quality_after,
        avg(pattern_usage_averageable(event.quality_improvement))::double precision AS avg_quality_improvement,
        avg(event.success::int)::double precision AS success_rate
    FROM pattern_usage_events AS event
    WHERE event.used_at >= $2::timestamptz AND event.used_at < $3::timestamptz
    GROUP BY 1, 2
) AS usage
JOIN pattern_templates AS template ON template.id = usage.pattern_id
ORDER BY usage.period DESC, usage.usage_count DESC, template.pattern_name, template.id
LIMIT $4::bigint;
