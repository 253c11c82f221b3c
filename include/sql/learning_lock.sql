-- asyncpg: lock a template that is about to be deleted, so that no new row refers to it.
SELECT id
FROM pattern_templates
WHERE id = $1::uuid
FOR UPDATE;
