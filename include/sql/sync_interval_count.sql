-- How many rows were created or updated in [start, end).
SELECT count(*)
FROM pattern_lineage_nodes
WHERE
    (created_at >= %(start)s AND created_at < %(end)s)
    OR (updated_at >= %(start)s AND updated_at < %(end)s);
