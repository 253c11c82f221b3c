-- How many patterns of each type there are, the most frequent first.
SELECT coalesce(pattern_type, 'without a type'), count(*)
FROM pattern_lineage_nodes
GROUP BY pattern_type
ORDER BY count(*) DESC, 1;
