-- asyncpg: the analytics of a day, the row over all templates first.
SELECT
    template.pattern_name,
    analytics.total_usage_count,
    analytics.success_count,
    analytics.failure_count,
    analytics.average_quality_improvement,
    analytics.trend_direction,
    analytics.trend_strength
FROM pattern_analytics AS analytics
LEFT JOIN pattern_templates AS template ON template.id = analytics.pattern_id
WHERE analytics.period_start = $1 AND analytics.period_end = $1 + interval '1 day'
ORDER BY analytics.pattern_id IS NOT NULL, analytics.total_usage_count DESC, template.pattern_name;
