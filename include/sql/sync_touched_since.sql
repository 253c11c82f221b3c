-- Which of these ids were changed or deleted by a transaction or a later one.
SELECT id
FROM pattern_lineage_nodes
WHERE
    id = any(%(ids)s::uuid [])
    AND sync_xid >= %(xid)s::text::xid8
UNION
SELECT node_id
FROM pattern_sync_tombstones
WHERE
    node_id = any(%(ids)s::uuid [])
    AND sync_xid >= %(xid)s::text::xid8;
