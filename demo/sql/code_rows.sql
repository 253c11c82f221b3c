-- The harvested code rows in a fixed order, for the burst of changes to choose from.
SELECT id
FROM pattern_lineage_nodes
WHERE pattern_type = 'code' AND pattern_id LIKE 'stdlib:%'
ORDER BY id;
