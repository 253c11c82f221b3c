-- Rows that a backfill of this time must have synced.
SELECT id
FROM pattern_lineage_nodes
WHERE created_at >= %(start)s AND created_at < %(end)s;
