-- Ids of the rows with these pattern ids, every version of each.
SELECT
    id,
    pattern_id
FROM pattern_lineage_nodes
WHERE pattern_id = any(%(pattern_ids)s::text []);
