-- How many code patterns there are in an id range.
SELECT count(*)
FROM pattern_lineage_nodes
WHERE
    pattern_type = 'code' /* filter */
    AND id BETWEEN %(first_id)s::uuid AND %(last_id)s::uuid;
