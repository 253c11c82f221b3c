-- One page of code patterns in id order.
SELECT
    id,
    pattern_id,
    pattern_name,
    pattern_type,
    pattern_version,
    pattern_data::text,
    metadata::text,
    -- Infinite times, and those before year 1 or after 9999, have no ISO 8601 form that readers could parse.
    CASE
        WHEN created_at >= '0001-01-02' AND created_at < '9999-12-31' THEN created_at
    END AS created_at,
    file_path,
    language,
    sync_xid::text::bigint
FROM pattern_lineage_nodes
WHERE
    pattern_type = 'code'
    AND id >= %(from_id)s::uuid
    AND id <= %(last_id)s::uuid
ORDER BY id
LIMIT %(page)s;
