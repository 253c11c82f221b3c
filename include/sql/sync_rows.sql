-- Patterns as the sync reads them, the one list of its columns. Which rows, and in which order (sync_position), says the
-- query that comes in at the mark. One file instead of a view: a view would forbid users to change the types of the
-- columns that it reads. After the first row, the rows end where they would become larger than a page. A row that a
-- target's filter leaves out is like one of another type.
SELECT
    id,
    pattern_id,
    pattern_name,
    CASE WHEN pattern_type = 'code' /* filter */ THEN pattern_type END AS pattern_type,
    pattern_version,
    -- Only code has points. Rows of other types come because they may have been code before; of those, the id says all.
    CASE WHEN pattern_type = 'code' /* filter */ THEN pattern_data::text END AS pattern_data,
    CASE WHEN pattern_type = 'code' /* filter */ THEN metadata::text END AS metadata,
    -- Infinite times, and those before year 1 or after 9999, have no ISO 8601 form that readers could parse.
    CASE
        WHEN created_at >= '0001-01-01 00:00+00' AND created_at < '10000-01-01 00:00+00' THEN created_at
    END AS created_at,
    file_path,
    language,
    sync_xid::text::bigint,
    CASE
        WHEN updated_at >= '0001-01-01 00:00+00' AND updated_at < '10000-01-01 00:00+00' THEN updated_at
    END AS updated_at
FROM (
    SELECT
        *,
        -- As stored, so that nothing is unpacked only to be measured.
        sum(
            CASE
                WHEN pattern_type = 'code' /* filter */
                    THEN pg_column_size(pattern_data) + coalesce(pg_column_size(metadata), 0)
                ELSE 0
            END
        ) OVER (ORDER BY sync_position) AS sync_bytes
    FROM (
        /* rows */
    ) AS found
) AS measured
WHERE
    sync_position = 1
    OR sync_bytes <= %(page_bytes)s::bigint
    OR %(page_bytes)s::bigint IS NULL
ORDER BY sync_position;
