-- Rows for quality_neighbour.sql.
INSERT INTO pattern_lineage_nodes (id, pattern_id, pattern_name, pattern_type, pattern_data)
SELECT ('00000000-0000-0000-0000-00000000000' || number)::uuid, 'p' || number, 'p', 'code', '{"code": "x = 1"}'
FROM generate_series(1, 5) AS number;
INSERT INTO pattern_quality_metrics (pattern_id, quality_score, confidence)
SELECT id, 0.75, 0.5 FROM pattern_lineage_nodes;
REFRESH MATERIALIZED VIEW confident;
INSERT INTO reviews (metric_id, pattern_id) SELECT id, pattern_id FROM pattern_quality_metrics;
INSERT INTO schema_migrations VALUES ('20250101');
INSERT INTO schema_versions (version) VALUES (12);
