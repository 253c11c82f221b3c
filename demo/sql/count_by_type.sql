-- How many rows of each type there are.
SELECT
    pattern_type,
    count(*)
FROM pattern_lineage_nodes
GROUP BY pattern_type
ORDER BY count(*) DESC, pattern_type;
