-- asyncpg: change a template. The columns to change come in at the mark.
UPDATE pattern_templates
SET updated_at = now() /* assignments */
WHERE id = $1::uuid
RETURNING id, pattern_name, discovered_at, updated_at;
