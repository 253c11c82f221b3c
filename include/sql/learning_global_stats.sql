-- asyncpg: totals over all templates, deprecated ones included, and all events.
SELECT
    templates.total_patterns,
    templates.active_patterns,
    templates.avg_confidence,
    templates.avg_success_rate,
    usage.patterns_used,
    usage.total_usage_events,
    usage.successes::double precision / nullif(usage.known, 0) AS global_success_rate,
    usage.improvement / nullif(usage.measured, 0) AS avg_quality_improvement
FROM (
    SELECT
        count(*) AS total_patterns,
        count(*) FILTER (WHERE is_deprecated IS NOT TRUE) AS active_patterns,
        avg(confidence_score)::double precision AS avg_confidence,
        avg(success_rate)::double precision AS avg_success_rate
    FROM pattern_templates
) AS templates
CROSS JOIN (
    SELECT
        count(*) AS patterns_used,
        coalesce(sum(of_one.events), 0)::bigint AS total_usage_events,
        sum(of_one.successes) AS successes,
        sum(of_one.known) AS known,
        sum(of_one.improvement) AS improvement,
        sum(of_one.measured) AS measured
    FROM (
        SELECT
            count(*) AS events,
            count(success) AS known,
            count(*) FILTER (WHERE success) AS successes,
            count(pattern_usage_averageable(quality_improvement)) AS measured,
            sum(pattern_usage_averageable(quality_improvement))::double precision AS improvement
        FROM pattern_usage_events
        GROUP BY pattern_id
    ) AS of_one
) AS usage;
