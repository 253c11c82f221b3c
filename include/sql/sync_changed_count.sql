-- How many rows changed after the watermark by transactions older than the horizon.
SELECT count(*)
FROM pattern_lineage_nodes
WHERE
    sync_xid >= %(after_xid)s::text::xid8
    AND sync_xid < %(horizon)s::text::xid8
    AND (sync_xid, id) > (%(after_xid)s::text::xid8, %(after_id)s::uuid);
