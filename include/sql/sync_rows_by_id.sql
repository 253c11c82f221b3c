-- The rows with these ids, whatever their type.
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
WHERE id = any(%(ids)s::uuid [])
ORDER BY id;
