-- asyncpg: record a template under an id that the caller made. Further columns come in at the marks.
-- Sent again because the answer was lost (parameter 4), it finds the template that is there already.
WITH stored AS (
    INSERT INTO pattern_templates (id, pattern_name, pattern_type /* columns */)
    VALUES ($1::uuid, $2::text, $3::text /* values */)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, pattern_name, discovered_at
)

SELECT id, pattern_name, discovered_at
FROM stored
UNION ALL
SELECT id, pattern_name, discovered_at
FROM pattern_templates
WHERE
    id = $1::uuid
    AND pattern_name = $2::text
    AND pattern_type = $3::text
    AND $4::boolean
    AND NOT EXISTS (SELECT FROM stored);
