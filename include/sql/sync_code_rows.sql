-- One page of code patterns in id order.
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
    pattern_type = 'code'
    AND id >= %(from_id)s::uuid
ORDER BY id
LIMIT %(page)s;
