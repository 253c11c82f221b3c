-- One page of rows changed after the watermark by transactions older than the horizon, in watermark order.
SELECT
    id,
    pattern_id,
    pattern_name,
    pattern_type,
    pattern_version,
    pattern_data::text,
    metadata::text,
    created_at,
    file_path,
    language,
    sync_xid::text::bigint
FROM pattern_lineage_nodes
WHERE
    sync_xid >= %(after_xid)s::text::xid8
    AND sync_xid < %(horizon)s::text::xid8
    AND (sync_xid, id) > (%(after_xid)s::text::xid8, %(after_id)s::uuid)
ORDER BY pattern_lineage_nodes.sync_xid, id
LIMIT %(page)s;
