-- Everything of the current schema that code relies on, one fact a line, the same on every server version.
-- Text and integer types of any width read alike; the schema's own name is left out.
WITH relations AS (
    SELECT oid, relname, relkind
    FROM pg_class
    WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind IN ('r', 'p', 'v')
), columns AS (
    SELECT
        relations.relname || '.' || attribute.attname AS name,
        regexp_replace(
            regexp_replace(format_type(attribute.atttypid, attribute.atttypmod), '^character varying(\(\d+\))?', 'text'),
            '^(smallint|bigint)', 'integer'
        ) AS type,
        attribute.attnotnull AND relations.relkind <> 'v' AS required,
        pg_get_expr(setting.adbin, setting.adrelid) AS default_value
    FROM relations
    JOIN pg_attribute AS attribute ON attribute.attrelid = relations.oid
    LEFT JOIN pg_attrdef AS setting ON setting.adrelid = attribute.attrelid AND setting.adnum = attribute.attnum
    WHERE attribute.attnum > 0 AND NOT attribute.attisdropped
)

SELECT CASE relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || relname FROM relations
UNION ALL
SELECT 'column ' || name || ' ' || type FROM columns
UNION ALL
SELECT 'column ' || name || ' is required' FROM columns WHERE required
UNION ALL
SELECT 'column ' || name || ' defaults to ' || regexp_replace(default_value, '::(text|character varying)$', '')
FROM columns WHERE default_value IS NOT NULL
UNION ALL
SELECT 'constraint on ' || relations.relname || ': ' || pg_get_constraintdef(found.oid)
FROM relations
JOIN pg_constraint AS found ON found.conrelid = relations.oid
-- NOT NULL is a constraint of its own since PostgreSQL 18, and a fact of the column here.
WHERE found.contype <> 'n'
UNION ALL
SELECT
    CASE WHEN found.indisunique THEN 'unique ' ELSE '' END || 'index ' || name.relname || ': '
    || regexp_replace(pg_get_indexdef(found.indexrelid, 0, true), '^.* ON ', '')
    || CASE WHEN found.indisvalid THEN '' ELSE ' (invalid)' END
FROM relations
JOIN pg_index AS found ON found.indrelid = relations.oid
JOIN pg_class AS name ON name.oid = found.indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = found.indexrelid)
UNION ALL
SELECT
    'trigger ' || replace(pg_get_triggerdef(found.oid, true), '::text', '')
    || CASE found.tgenabled WHEN 'O' THEN '' WHEN 'A' THEN ' (always)' WHEN 'R' THEN ' (replica)' ELSE ' (disabled)' END
FROM relations
JOIN pg_trigger AS found ON found.tgrelid = relations.oid
WHERE NOT found.tgisinternal
UNION ALL
SELECT
    'function ' || routine.proname || '(' || pg_get_function_identity_arguments(routine.oid) || ') -> '
    || format_type(routine.prorettype, NULL)
    || CASE WHEN routine.prosecdef THEN ' as its owner' ELSE '' END
    || coalesce(' with ' || replace(array_to_string(routine.proconfig, ', '), quote_ident(current_schema()), '*'), '')
    || ', md5 of its body ' || md5(routine.prosrc)
FROM pg_proc AS routine
WHERE
    routine.pronamespace = quote_ident(current_schema())::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = routine.oid AND deptype = 'e')
ORDER BY 1;
