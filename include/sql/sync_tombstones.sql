-- One page of the rows deleted after the watermark whose deletion one snapshot shows and the other does not, in watermark
-- order.
SELECT
    node_id,
    sync_xid::text::bigint,
    deleted_at
FROM pattern_sync_tombstones
WHERE
    sync_xid >= %(after_xid)s::text::xid8
    AND sync_xid < %(before_xid)s::text::xid8
    AND (sync_xid, node_id) > (%(after_xid)s::text::xid8, %(after_id)s::uuid)
    AND pg_visible_in_snapshot(sync_xid, %(until)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(sync_xid, %(seen)s::pg_snapshot)
ORDER BY pattern_sync_tombstones.sync_xid, node_id
LIMIT %(page)s;
