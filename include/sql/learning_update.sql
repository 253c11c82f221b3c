-- asyncpg: change a template. The columns to change come in at the mark.
UPDATE pattern_templates
SET updated_at = now() /* assignments */
WHERE id = $1::uuid
RETURNING
    id,
    pattern_name,
    -- As of a template's columns: null if Python has no such time.
    CASE
        WHEN discovered_at >= '0001-01-01 00:00+00' AND discovered_at < '10000-01-01 00:00+00' THEN discovered_at
    END AS discovered_at,
    updated_at;
