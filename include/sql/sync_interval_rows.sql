-- One page of the rows created or updated in [start, end), in id order, whatever their type.
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
FROM (
    SELECT
        *,
        row_number() OVER in_order AS sync_place,
        -- As stored, so that nothing is unpacked only to be measured.
        sum(pg_column_size(pattern_data) + coalesce(pg_column_size(metadata), 0)) OVER in_order AS sync_bytes
    FROM (
        SELECT *
        FROM pattern_lineage_nodes
        WHERE
            (
                (created_at >= %(start)s AND created_at < %(end)s)
                OR (updated_at >= %(start)s AND updated_at < %(end)s)
            )
            AND id >= %(from_id)s::uuid
        ORDER BY id
        LIMIT %(page)s
    ) AS page
    WINDOW in_order AS (ORDER BY id)
) AS measured
WHERE sync_place = 1 OR sync_bytes <= %(page_bytes)s
ORDER BY id;
