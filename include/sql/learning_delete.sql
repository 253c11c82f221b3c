-- asyncpg: delete a template and tell what goes with it. The counts are those of before the statement.
DELETE FROM pattern_templates AS template
WHERE template.id = $1::uuid
RETURNING
    template.id,
    template.pattern_name,
    (SELECT count(*) FROM pattern_usage_events AS event WHERE event.pattern_id = template.id) AS usage_events,
    (
        SELECT count(*)
        FROM pattern_template_relationships AS relationship
        WHERE template.id IN (relationship.source_pattern_id, relationship.target_pattern_id)
    ) AS relationships,
    (SELECT count(*) FROM pattern_analytics AS analytics WHERE analytics.pattern_id = template.id) AS analytics,
    (
        SELECT count(*)
        FROM pattern_templates AS other
        WHERE other.parent_pattern_id = template.id OR other.deprecated_by_id = template.id
    ) AS unlinked_patterns;
