-- Rows for learning_neighbour.sql.
INSERT INTO pattern_templates (id, pattern_name, pattern_type, template_code, confidence_score, tags, context)
SELECT ('20000000-0000-0000-0000-00000000000' || number)::uuid, 'template ' || number, 'code', 'pass', 0.75, '{a,b}',
    '{"k": 1}'
FROM generate_series(1, 5) AS number;
INSERT INTO pattern_usage_events (pattern_id, success, quality_before, quality_after, used_at)
SELECT id, true, 0.25, 0.75, '2026-01-01Z' FROM pattern_templates, generate_series(1, 3);
INSERT INTO favourites SELECT pattern_name, pattern_type, language FROM pattern_templates;
REFRESH MATERIALIZED VIEW v_top_patterns;
