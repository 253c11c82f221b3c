-- For sync_rows: the last rows changed after the watermark that one snapshot shows and the other does not, the newest
-- transaction first.
SELECT
    *,
    row_number() OVER (ORDER BY sync_xid DESC, id DESC) AS sync_position
FROM pattern_lineage_nodes
WHERE
    sync_xid >= %(after_xid)s::text::xid8
    AND sync_xid < %(before_xid)s::text::xid8
    AND (sync_xid, id) > (%(after_xid)s::text::xid8, %(after_id)s::uuid)
    AND pg_visible_in_snapshot(sync_xid, %(until)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(sync_xid, %(seen)s::pg_snapshot)
ORDER BY sync_xid DESC, id DESC
LIMIT %(page)s
