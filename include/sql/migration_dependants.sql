-- What of others depends on what a rollback drops: one sentence for each. The names of what it drops are the parameters.
WITH own (classid, oid, subid, name) AS (
    SELECT depended.classid, depended.oid, 0, CASE relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || relname
    FROM unnest(%(relations)s::text[]) AS dropped (name)
    JOIN pg_class ON pg_class.oid = to_regclass(dropped.name)
    CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, pg_class.oid), ('pg_type', reltype)) AS depended (classid, oid)
    UNION ALL
    SELECT 'pg_proc'::regclass, pg_proc.oid, 0, 'function ' || pg_proc.oid::regprocedure
    FROM unnest(%(functions)s::text[]) AS dropped (name)
    JOIN pg_proc ON pg_proc.oid = to_regprocedure(dropped.name)
    UNION ALL
    SELECT 'pg_class'::regclass, attrelid, attnum, dropped.table_name || '.' || attname
    FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS dropped (table_name, name)
    JOIN pg_attribute ON attrelid = to_regclass(dropped.table_name) AND attname = dropped.name AND NOT attisdropped
)

SELECT format('%%s depends on %%s, which goes. Drop it first.',
    CASE WHEN viewing.oid IS NULL THEN pg_describe_object(found.classid, found.objid, found.objsubid)
        ELSE CASE viewing.relkind WHEN 'v' THEN 'View ' WHEN 'm' THEN 'Materialized view ' ELSE 'A rule on table ' END
            || viewing.oid::regclass
    END, own.name)
FROM own
JOIN pg_depend AS found
    ON found.refclassid = own.classid AND found.refobjid = own.oid
        AND CASE own.subid
            WHEN 0 THEN found.deptype = 'n'
            -- Indexes go with their column. Checks and defaults would, too, and nobody would be told.
            ELSE found.refobjsubid = own.subid AND NOT (found.classid = 'pg_class'::regclass AND found.deptype = 'a')
        END
LEFT JOIN pg_rewrite AS rule ON found.classid = 'pg_rewrite'::regclass AND rule.oid = found.objid
LEFT JOIN pg_class AS viewing ON viewing.oid = rule.ev_class
-- What is dropped too, or is part of what is, goes with it.
WHERE NOT EXISTS (
    SELECT
    FROM own AS other
    WHERE other.classid = found.classid AND other.oid = found.objid AND other.subid IN (0, found.objsubid)
)
AND NOT EXISTS (
    SELECT
    FROM own AS whole
    JOIN pg_depend AS belongs ON belongs.refclassid = whole.classid AND belongs.refobjid = whole.oid AND whole.subid = 0
    WHERE belongs.classid = found.classid AND belongs.objid = found.objid AND belongs.deptype IN ('a', 'i')
)
AND NOT EXISTS (
    SELECT
    FROM pg_trigger
    WHERE found.classid = 'pg_trigger'::regclass AND pg_trigger.oid = found.objid AND tgname = ANY (%(triggers)s::text[])
);
