-- asyncpg: record a template. Further columns come in at the marks.
INSERT INTO pattern_templates (pattern_name, pattern_type /* columns */)
VALUES ($1::text, $2::text /* values */)
RETURNING id, pattern_name, discovered_at;
