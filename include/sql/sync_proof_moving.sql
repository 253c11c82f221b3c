-- Which of these ids were written or deleted from the horizon until now. After a restore, sync_xid may hold the future
-- or another cluster's past, so the row itself must be as young: xmin is its low half, compared modulo 2^32.
SELECT id
FROM pattern_lineage_nodes
WHERE
    id = any(%(ids)s::uuid [])
    AND sync_xid >= %(horizon)s::text::xid8
    AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
    AND ((xmin::text::bigint - %(horizon)s::bigint) & 4294967295) < 2147483648
UNION
SELECT node_id
FROM pattern_sync_tombstones
WHERE
    node_id = any(%(ids)s::uuid [])
    AND sync_xid >= %(horizon)s::text::xid8
    AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
    AND ((xmin::text::bigint - %(horizon)s::bigint) & 4294967295) < 2147483648;
