-- One page of the rows created or updated in [start, end), in id order, whatever their type.
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
    (
        (created_at >= %(start)s AND created_at < %(end)s)
        OR (updated_at >= %(start)s AND updated_at < %(end)s)
    )
    AND id >= %(from_id)s::uuid
ORDER BY id
LIMIT %(page)s;
