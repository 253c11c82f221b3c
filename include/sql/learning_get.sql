-- asyncpg: one template. Its columns come in at the mark.
SELECT template.id /* template columns */
FROM pattern_templates AS template
WHERE template.id = $1::uuid;
