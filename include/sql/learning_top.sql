-- asyncpg: the most used templates, as v_top_patterns shows them. Conditions come in at the mark.
-- The view would average the events of every template before it knew which ones are wanted.
WITH chosen AS (
    SELECT
        template.id,
        template.pattern_name,
        template.pattern_type,
        template.language,
        template.usage_count,
        template.success_rate::double precision AS success_rate,
        template.confidence_score::double precision AS confidence_score,
        template.last_used_at
    FROM pattern_templates AS template
    WHERE /* conditions */ true
    ORDER BY template.usage_count DESC NULLS LAST, template.success_rate DESC NULLS LAST, template.id
    LIMIT $1::bigint OFFSET $2::bigint
)

SELECT
    chosen.id,
    chosen.pattern_name,
    chosen.pattern_type,
    chosen.language,
    chosen.usage_count,
    chosen.success_rate,
    chosen.confidence_score,
    usage.avg_quality_improvement,
    usage.recent_usage_count,
    -- As of a template's columns: null if Python has no such time.
    CASE
        WHEN chosen.last_used_at >= '0001-01-01 00:00+00' AND chosen.last_used_at < '10000-01-01 00:00+00' THEN chosen.last_used_at
    END AS last_used_at
FROM chosen
CROSS JOIN LATERAL (
    SELECT
        avg(pattern_usage_averageable(event.quality_improvement))::double precision AS avg_quality_improvement,
        count(*) FILTER (WHERE event.used_at >= now() - interval '30 days') AS recent_usage_count
    FROM pattern_usage_events AS event
    WHERE event.pattern_id = chosen.id
) AS usage
ORDER BY chosen.usage_count DESC NULLS LAST, chosen.success_rate DESC NULLS LAST, chosen.id;
