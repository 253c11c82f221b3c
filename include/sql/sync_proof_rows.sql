-- The code patterns of an id range of one snapshot in id order: one statement, so that no seam between pages can lose a
-- row.
DECLARE proof NO SCROLL CURSOR FOR
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
        WHEN created_at >= '0001-01-01 00:00+00' AND created_at < '10000-01-01 00:00+00' THEN created_at
    END AS created_at,
    file_path,
    language,
    sync_xid::text::bigint,
    NULL AS updated_at,
    /* digest */ AS digest
FROM pattern_lineage_nodes
WHERE pattern_type = 'code' AND id BETWEEN %(first_id)s AND %(last_id)s /* filter */
ORDER BY id;
