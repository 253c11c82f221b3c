-- Ids of code patterns at given fractions (0 to 1) of the id order.
SELECT DISTINCT unnest(percentile_disc(%(fractions)s::float8 []) WITHIN GROUP (ORDER BY id)) AS id
FROM pattern_lineage_nodes
WHERE pattern_type = 'code' /* filter */
ORDER BY id;
