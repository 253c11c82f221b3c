-- asyncpg: record many templates, each parameter an array. Returns the ids of those that were not there already.
-- Further columns come in at the marks.
INSERT INTO pattern_templates (id /* columns */)
SELECT given.id /* taken */
FROM unnest($1::uuid[] /* arrays */) AS given (id /* columns */)
ON CONFLICT DO NOTHING
RETURNING id;
