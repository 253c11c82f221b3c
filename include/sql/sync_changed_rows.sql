-- For sync_rows: one page of rows changed after the watermark by transactions older than the horizon, in watermark order.
SELECT
    *,
    row_number() OVER (ORDER BY sync_xid, id) AS sync_position
FROM pattern_lineage_nodes
WHERE
    sync_xid >= %(after_xid)s::text::xid8
    AND sync_xid < %(horizon)s::text::xid8
    AND (sync_xid, id) > (%(after_xid)s::text::xid8, %(after_id)s::uuid)
ORDER BY sync_xid, id
LIMIT %(page)s
