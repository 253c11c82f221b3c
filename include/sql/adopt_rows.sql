-- The code patterns of a database that no migration has seen, in id order, as the sync reads them. A column that the
-- table does not have is taken from "absent": inside the subquery its own columns go first.
SELECT
    node.id,
    node.pattern_id,
    node.pattern_name,
    node.pattern_type,
    node.pattern_version,
    node.pattern_data::text,
    node.metadata::text,
    CASE
        WHEN node.created_at >= '0001-01-01 00:00+00' AND node.created_at < '10000-01-01 00:00+00' THEN node.created_at
    END,
    node.file_path,
    node.language,
    NULL::bigint
FROM (
    SELECT
        NULL::text AS pattern_version,
        NULL::jsonb AS metadata,
        NULL::timestamptz AS created_at,
        NULL::text AS file_path,
        NULL::text AS language
) AS absent
CROSS JOIN LATERAL (
    SELECT
        id,
        pattern_id,
        pattern_name,
        pattern_type,
        pattern_version,
        pattern_data,
        metadata,
        created_at,
        file_path,
        language
    FROM pattern_lineage_nodes
    WHERE pattern_type = 'code'
) AS node
ORDER BY node.id;
