-- Which of these ids were changed or deleted at or after the horizon.
SELECT id
FROM pattern_lineage_nodes
WHERE
    id = any(%(ids)s::uuid [])
    AND sync_xid >= %(horizon)s::text::xid8
UNION
SELECT node_id
FROM pattern_sync_tombstones
WHERE
    node_id = any(%(ids)s::uuid [])
    AND sync_xid >= %(horizon)s::text::xid8;
