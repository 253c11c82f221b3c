-- Everything of the current schema that code relies on, one fact a line, the same on every server version.
-- Types that adopted tables may have in place of the documented ones read like those: text, numbers and integers of any
-- width, arrays of such text, json, times of any precision. The schema's own name is left out.
WITH relations AS (
    SELECT oid, relname, relkind
    FROM pg_class
    WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
), columns AS (
    SELECT
        relations.relname || '.' || attribute.attname AS name,
        CASE
            WHEN type_of.text ~ '^character varying(\(\d+\))?$' THEN 'text'
            WHEN type_of.text ~ '^character varying(\(\d+\))?\[\]$' THEN 'text[]'
            WHEN type_of.text ~ '^(smallint|bigint)$' THEN 'integer'
            WHEN type_of.text ~ '^(real|numeric(\(\d+,\d+\))?)$' THEN 'double precision'
            WHEN type_of.text = 'json' THEN 'jsonb'
            WHEN type_of.text ~ '^timestamp\(\d\) with time zone$' THEN 'timestamp with time zone'
            ELSE type_of.text
        END AS type,
        attribute.attnotnull AND relations.relkind IN ('r', 'p') AS required,
        pg_get_expr(setting.adbin, setting.adrelid) AS default_value
    FROM relations
    JOIN pg_attribute AS attribute ON attribute.attrelid = relations.oid
    CROSS JOIN LATERAL (SELECT format_type(attribute.atttypid, attribute.atttypmod) AS text) AS type_of
    LEFT JOIN pg_attrdef AS setting ON setting.adrelid = attribute.attrelid AND setting.adnum = attribute.attnum
    WHERE attribute.attnum > 0 AND NOT attribute.attisdropped
)

SELECT CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'table ' END || relname FROM relations
UNION ALL
SELECT 'view ' || relname || ' is of a migration' FROM relations
WHERE relkind = 'v' AND obj_description(oid, 'pg_class') LIKE '%Created by migration ___.'
UNION ALL
SELECT 'table ' || relname || ' is partitioned' FROM relations WHERE relkind = 'p'
UNION ALL
SELECT 'column ' || name || ' ' || type FROM columns
UNION ALL
SELECT 'column ' || name || ' is required' FROM columns WHERE required
UNION ALL
SELECT 'column ' || name || ' defaults to ' || regexp_replace(default_value, '::(text|character varying)$', '')
FROM columns WHERE default_value IS NOT NULL
UNION ALL
SELECT
    'constraint on ' || relations.relname || ': ' || regexp_replace(
        regexp_replace(pg_get_constraintdef(found.oid), '::(double precision|numeric|real)|(?<=\d)\.0+(?!\d)', '', 'g'),
        '\((\d+)\)', '\1', 'g')
FROM relations
JOIN pg_constraint AS found ON found.conrelid = relations.oid
-- NOT NULL is a constraint of its own since PostgreSQL 18, and a fact of the column here.
WHERE found.contype <> 'n'
UNION ALL
SELECT
    CASE WHEN found.indisunique THEN 'unique ' ELSE '' END || 'index ' || name.relname || ': '
    || regexp_replace(pg_get_indexdef(found.indexrelid, 0, true), '^.* ON (ONLY )?', '')
    || CASE WHEN found.indisvalid THEN '' ELSE ' (invalid)' END
FROM relations
JOIN pg_index AS found ON found.indrelid = relations.oid
JOIN pg_class AS name ON name.oid = found.indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = found.indexrelid)
UNION ALL
/* rows */
ORDER BY 1;
