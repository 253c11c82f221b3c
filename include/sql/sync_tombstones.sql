-- One page of rows deleted after the watermark by transactions older than the horizon, in watermark order.
SELECT
    node_id,
    sync_xid::text::bigint
FROM pattern_sync_tombstones
WHERE
    sync_xid >= %(after_xid)s::text::xid8
    AND sync_xid < %(horizon)s::text::xid8
    AND (sync_xid, node_id) > (%(after_xid)s::text::xid8, %(after_id)s::uuid)
ORDER BY pattern_sync_tombstones.sync_xid, node_id
LIMIT %(page)s;
