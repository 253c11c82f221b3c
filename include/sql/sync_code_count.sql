-- How many code patterns there are.
SELECT count(*)
FROM pattern_lineage_nodes
WHERE pattern_type = 'code';
