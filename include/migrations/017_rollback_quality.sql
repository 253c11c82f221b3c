-- 017 back (in parts): removes the backfill's run history and the two views. Scores stay.

-- part (each row a statement): what of others depends on what goes
WITH own (classid, oid, name) AS (
    SELECT depended.classid, depended.oid, CASE relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || relname
    FROM pg_class
    CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, pg_class.oid), ('pg_type', reltype)) AS depended (classid, oid)
    WHERE pg_class.oid IN (
        to_regclass('v_quality_worst_patterns'), to_regclass('v_quality_distribution'),
        to_regclass('pattern_quality_runs')
    )
)

SELECT
    'refuse' AS word,
    format('%s depends on %s, which goes. Drop it first.',
        CASE WHEN viewing.oid IS NULL THEN pg_describe_object(found.classid, found.objid, found.objsubid)
            ELSE CASE viewing.relkind WHEN 'v' THEN 'View ' WHEN 'm' THEN 'Materialized view ' ELSE 'A rule on table ' END
                || viewing.oid::regclass
        END, own.name) AS text
FROM own
JOIN pg_depend AS found ON found.refclassid = own.classid AND found.refobjid = own.oid AND found.deptype = 'n'
LEFT JOIN pg_rewrite AS rule ON found.classid = 'pg_rewrite'::regclass AND rule.oid = found.objid
LEFT JOIN pg_class AS viewing ON viewing.oid = rule.ev_class
-- What is part of one of them goes with it.
WHERE NOT EXISTS (
    SELECT
    FROM own AS whole
    JOIN pg_depend AS belongs ON belongs.refclassid = whole.classid AND belongs.refobjid = whole.oid
    WHERE belongs.classid = found.classid AND belongs.objid = found.objid AND belongs.deptype IN ('a', 'i')
);

-- part: views and table
DROP VIEW IF EXISTS v_quality_worst_patterns;
DROP VIEW IF EXISTS v_quality_distribution;
DROP TABLE IF EXISTS pattern_quality_runs;
