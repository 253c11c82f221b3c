-- asyncpg: hold a template so that nothing more hangs itself on it before it is deleted.
SELECT id
FROM pattern_templates
WHERE id = $1::uuid
FOR UPDATE;
