-- Code patterns without a score.
SELECT node.id
FROM pattern_lineage_nodes AS node
LEFT JOIN pattern_quality_metrics AS score ON score.pattern_id = node.id
WHERE node.pattern_type = 'code' AND score.pattern_id IS NULL;
