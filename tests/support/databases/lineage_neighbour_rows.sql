-- Rows for lineage_neighbour.sql.
INSERT INTO pattern_lineage_nodes (id, pattern_id, pattern_name, pattern_type, pattern_data, language, overall_quality)
SELECT
    ('00000000-0000-0000-0000-' || lpad(number::text, 12, '0'))::uuid,
    lpad(to_hex(number), 16, '0'),
    'pattern ' || number,
    'code',
    jsonb_build_object('code', 'def f' || number || '(): return ' || number),
    'python',
    0.75
FROM generate_series(1, 9) AS number;
INSERT INTO pattern_relationships (source_pattern_id, target_pattern_id, relationship_type, confidence, created_by)
SELECT
    ('00000000-0000-0000-0000-' || lpad(number::text, 12, '0'))::uuid,
    ('00000000-0000-0000-0000-' || lpad((number + 1)::text, 12, '0'))::uuid,
    'derived_from',
    0.5 + number / 100.0,
    'lineage'
FROM generate_series(1, 8) AS number;
INSERT INTO agent_manifest_injections (agent_name, patterns)
SELECT 'agent', array_agg(id) FROM pattern_lineage_nodes;
